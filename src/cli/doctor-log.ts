import { createPrivateKey } from 'node:crypto';
import { statSync } from 'node:fs';
import { logSigner } from '../audit/index.js';
import type { Config } from '../config/index.js';
import type { ExaminedLog } from '../storage/index.js';
import { type Check, ok, warn, wrong } from './check.js';

/** Whoever has the key and the database can write another history. */
export function checkLogKey({ logKeyFile, logKeyPreviousFiles, dataDir }: Config): Check {
  const name = 'log key';
  if (logKeyFile === undefined) return ok(name, `made by the first start in ${dataDir}`);
  const open = [logKeyFile, ...logKeyPreviousFiles].find((file) => (statSync(file).mode & 0o077) !== 0);
  if (open !== undefined) return warn(name, `${open} can be read by other accounts`, `chmod 600 ${open}`);
  return ok(name, `${logKeyFile}, and ${logKeyPreviousFiles.length} earlier`);
}

export function checkRetention({ logRetentionDays: days, decisionInputDays }: Config): Check {
  const name = 'log retention';
  if (days === undefined) return ok(name, 'records are kept for ever');
  if (decisionInputDays > days)
    return warn(
      name,
      `records go after ${days} days, their inputs after ${decisionInputDays}`,
      'keep inputs no longer than their records, or policy replay finds no decision to them',
    );
  return ok(name, `records go after ${days} days; their hashes and all proofs stay`);
}

const BEHIND_SECONDS = 5;
const UNWITNESSED_SECONDS = 300;

/** What the database says of the tree, and of those who cosign it. */
export function checkTree(log: ExaminedLog | undefined, { logWitnesses }: Config): readonly Check[] {
  if (log === undefined) return [];
  return [checkGrowth(log), ...logWitnesses.map((text) => checkWitness(text, log))];
}

function checkGrowth({ halted, size, lag }: ExaminedLog): Check {
  const name = 'log';
  if (halted !== undefined)
    return wrong(
      name,
      `halted at ${size} entries: ${halted}`,
      'keep a copy of the database as it is; put back the one that belongs to the last checkpoint, or let it go on: writ audit recover --reason …',
    );
  if (lag > BEHIND_SECONDS)
    return wrong(
      name,
      `${size} entries, and a record that has waited for ${lag.toFixed(0)} s`,
      'is a Writ running? Then its log lines of level error say why nothing is appended',
    );
  return ok(name, `${size} entries, nothing waits`);
}

/** `text` is as in WRIT_LOG_WITNESSES: its address and its verifier key, which begins with its name. */
function checkWitness(text: string, { size, cosigned }: ExaminedLog): Check {
  const [url = '', vkey = ''] = text.split(' ');
  const name = `log witness ${url}`;
  const last = cosigned.find((one) => one.name === vkey.split('+', 1)[0]);
  if (last === undefined)
    return warn(name, 'has never cosigned', 'is its address right, and does it know this log, by origin and key?');
  if (last.size < size && last.ageSeconds > UNWITNESSED_SECONDS)
    return warn(
      name,
      `cosigned ${last.size} of ${size} entries, ${(last.ageSeconds / 60).toFixed(0)} minutes ago`,
      'until it cosigns again, newer entries are only claimed: can Writ reach it? Its answer is in the log lines',
    );
  return ok(name, `cosigned ${last.size} entries`);
}

/** Whether the checkpoint that is served is one that the keys here signed. Without keys here nothing can be said. */
export function checkCheckpoint(note: string | undefined, issuer: string, { logKeys }: Config): readonly Check[] {
  const name = 'log checkpoint';
  if (note === undefined)
    return [wrong(name, 'none is served', 'let the proxy pass /audit/v1, which anybody may read')];
  const size = note.split('\n')[1] ?? '';
  const [current, ...previous] = logKeys.map((pem) => createPrivateKey(pem));
  if (current === undefined) return [ok(name, `of ${size} entries`)];
  const opened = logSigner(issuer, [current, ...previous]).openCheckpoint(note);
  return [
    opened.ok
      ? ok(name, `of ${size} entries, signed by ${opened.value.by.text}`)
      : wrong(
          name,
          'no key of WRIT_LOG_KEY_FILE here signed it',
          'give all processes one key; name the one before in WRIT_LOG_KEY_PREVIOUS_FILES',
        ),
  ];
}

const READY: Readonly<Record<string, string>> = {
  log_inconsistent:
    'the log is halted, or this process cannot judge it: see `log` here, and its log lines of level error',
  log_behind: 'records wait to be put into the tree: see `log` here, and its log lines of level error',
};

/** What to do when a process is not ready for these reasons. */
export const remedyOf = (reasons: readonly string[]): string =>
  reasons.flatMap((reason) => READY[reason] ?? [])[0] ?? 'the log lines of level error of that process say more';
