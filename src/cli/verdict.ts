import type { Problem, Verdict } from '../sdk/auditor/index.js';

/** A verdict in plain words, a line each. The first says whether it is proved, the last against what. */
export function describeVerdict(verdict: Verdict): readonly string[] {
  const { isProved, about, problems, more, sessions, entries, keys } = verdict;
  const counted = [
    some(entries.included, 'entry', 'entries'),
    ...(entries.pruned > 0 ? [`${entries.pruned} of them without their content`] : []),
    ...(entries.unknown > 0 ? [`${entries.unknown} of a version that this build does not know`] : []),
    ...sessionWords(sessions),
  ];
  return [
    `${isProved ? 'PROVED' : 'NOT PROVED'}${aboutWords(about)}`,
    ...problems.map(describeProblem),
    ...(more > 0 ? [`  and ${more} more`] : []),
    counted.join(', '),
    ...(entries.unread > 0
      ? ["by their hashes alone: with an auditor's token (--token-file) their content is read too"]
      : []),
    ...limitWords(about),
    ...pruningWords(verdict),
    ...Object.entries(verdict.people).map(
      ([id, { issuer, subject }]) => `${JSON.stringify(id)} is ${JSON.stringify(subject)} at ${JSON.stringify(issuer)}`,
    ),
    ...keys.map((key) => `key announced by the log: ${key}`),
    against(verdict),
  ];
}

const some = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

function aboutWords(about: Verdict['about']): string {
  if (about === undefined) return '';
  if (about === 'log') return ': the whole log';
  if ('session' in about) return `: session ${about.session}`;
  if ('txn' in about) return `: entries of transaction ${about.txn}`;
  if ('from' in about) return `: entries of the time from ${timeOf(about.from)} until ${timeOf(about.until)}`;
  return `: entries from ${about.range[0]} up to but without ${about.range[1]}`;
}

/** Records of a session are numbered; nothing numbers those of a transaction or of a time. */
function limitWords(about: Verdict['about']): readonly string[] {
  if (about === undefined || about === 'log') return [];
  if ('txn' in about) return ['that these are all the entries of the transaction is not proved'];
  if ('from' in about) return ['that these are all the entries of this time is not proved'];
  return [];
}

function timeOf(seconds: number): string {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? String(seconds) : time.toISOString();
}

function pruningWords({ pruning: { runs, recorded } }: Verdict): readonly string[] {
  const said = runs.map(([start, end]) => (end === start + 1 ? `${start}` : `${start} to ${end - 1}`)).join(', ');
  const at = recorded && new Date(recorded.olderThan * 1000).toISOString();
  return [
    ...(runs.length > 0 ? [`said to be pruned: entries ${said}`] : []),
    ...(recorded
      ? [`retention removed what is below entry ${recorded.below}, written before ${at}: see entry ${recorded.entry}`]
      : []),
  ];
}

const sessionWords = ({ complete, open, partial }: Verdict['sessions']): readonly string[] => [
  ...(complete > 0 ? [`${some(complete, 'session', 'sessions')} closed and whole`] : []),
  ...(open > 0 ? [`${some(open, 'session', 'sessions')} open and whole so far`] : []),
  ...(partial > 0 ? [`${some(partial, 'session', 'sessions')} with a beginning or end elsewhere`] : []),
];

function describeProblem({ code, detail, entry, run, line }: Problem): string {
  const place = entry !== undefined ? `entry ${entry}` : run ? `entries ${run[0]} to ${run[1] - 1}` : undefined;
  const where = [place, ...(line === undefined ? [] : [`line ${line}`])].filter((one) => one !== undefined).join(', ');
  return `  ${code}${where === '' ? '' : ` (${where})`}: ${detail}`;
}

function against({ isProved, checkpoint, witnessed, entries }: Verdict): string {
  if (!checkpoint) return 'there is no checkpoint to prove anything against';
  const tree = `${checkpoint.origin} at ${checkpoint.size} entries`;
  if (!isProved) return `judged against ${tree}`;
  const claimed = `${entries.claimed} newer ${entries.claimed === 1 ? 'entry is' : 'entries are'} only claimed`;
  if (!witnessed) return `proved against the checkpoint of ${tree}, which nobody witnessed; ${claimed}`;
  if (witnessed.at === undefined)
    return `proved against a kept copy of ${witnessed.size} entries of ${checkpoint.origin}; ${claimed}`;
  const at = new Date(witnessed.at * 1000).toISOString();
  return `proved against the checkpoint witnessed at ${at} by ${witnessed.by.join(', ')}; ${claimed}`;
}
