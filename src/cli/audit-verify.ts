import { createReadStream } from 'node:fs';
import type { Command } from 'commander';
import {
  type Asked,
  type AuditorOptions,
  parseVerifierKey,
  verifyBundle,
  type Verdict,
  type VerifierKey,
  verifyLog,
} from '../sdk/auditor/index.js';
import { isLoopback } from '../protocol/index.js';
import { parseCheckpoint, parseNote, SignatureType } from '../tlog/index.js';
import { bodyOf, logAt } from './audit-log.js';
import { JSON_OPTION, type Output } from './command.js';
import { Failure, type Io } from './io.js';
import { describeVerdict } from './verdict.js';

type Options = Output &
  Readonly<{
    key: readonly string[];
    witness: readonly string[];
    copy: readonly string[];
    quorum?: string;
    origin?: string;
    prunedBelow?: string;
    session?: string;
    txn?: string;
    tokenFile?: string;
  }>;

const WHOLE = /^(0|[1-9]\d{0,14})$/;
const several = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** `writ audit verify <bundle|url>`. Exit codes: 0 proved, 1 wrong, 2 nothing that could be judged. */
export function addVerify(audit: Command, io: Io): void {
  audit
    .command('verify')
    .argument('<bundle>', 'a file (- for standard input), the URL of a bundle, or that of a whole log (…/audit/v1)')
    .description('Judges the log offline, trusting nothing but the keys and copies that are given here.')
    .option(
      '--key <vkey>',
      "a verifier key of the log that is trusted, or a file with it; the log's first one will do",
      several,
      [],
    )
    .option('--witness <vkey>', 'a verifier key of a witness that is trusted, or a file with it', several, [])
    .option('--quorum <n>', 'how many of these witnesses must have cosigned (else all)')
    .option('--copy <file>', 'a checkpoint of this log that was kept elsewhere', several, [])
    .option('--pruned-below <index>', 'from which entry on content must be there (else retention may have removed any)')
    .option('--origin <name>', "the log's origin (else the name of the first key)")
    .option('--session <id>', 'the bundle must be of this session')
    .option('--txn <id>', 'the bundle must be of this transaction')
    .option(
      '--token-file <file>',
      'file with the audit token, to read entries of a URL (else WRIT_AUDIT_TOKEN, which is for WRIT_ISSUER only)',
    )
    .addOption(JSON_OPTION())
    .action(async (bundle: string, options: Options) => {
      const about = askedIn(bundle, options);
      const verdict = await judged(bundle, { ...trusted(options, io), about }, tokenOf(bundle, options, io));
      io.out(options.json === true ? JSON.stringify(verdict, null, 2) : describeVerdict(verdict).join('\n'));
      if (!verdict.isProved) throw new Failure(1, 'not proved');
    });
}

function trusted({ key, witness, quorum, copy, origin, prunedBelow }: Options, io: Io): AuditorOptions {
  const keys = key.map((one) => verifier(one, io));
  if (keys.length === 0) throw new Failure(2, "give the log's verifier key with --key; nothing can be trusted without");
  const witnesses = witness.map((one) => verifier(one, io));
  // C2SP tlog-cosignature: a plain signature does not say when.
  if (witnesses.some(({ type }) => type !== SignatureType.cosignature)) {
    throw new Failure(2, '--witness must be the verifier key of a witness, which is of the type for cosignatures');
  }
  const wanted = quorum === undefined ? witnesses.length : Number(quorum);
  if (!Number.isInteger(wanted) || wanted < 0 || wanted > witnesses.length) {
    throw new Failure(2, '--quorum must be a number of the witnesses that are given');
  }
  if (prunedBelow !== undefined && !WHOLE.test(prunedBelow)) {
    throw new Failure(2, '--pruned-below must be the index of an entry: a whole number');
  }
  return {
    keys,
    origin,
    copies: copy.map((file) => contentOf(file, io)),
    prunedBelow: prunedBelow === undefined ? undefined : Number(prunedBelow),
    ...(wanted === 0 ? {} : { witnesses: { keys: witnesses, quorum: wanted } }),
  };
}

function verifier(given: string, io: Io): VerifierKey {
  const text = given.includes('+') ? given : contentOf(given, io).trim();
  const key = parseVerifierKey(text);
  if (!key.ok) throw new Failure(2, `${given} is no verifier key (name+id+key), nor a file with one`);
  return key.value;
}

function contentOf(file: string, io: Io): string {
  const text = io.readFile(file);
  if (text === undefined) throw new Failure(2, `there is no file ${file}`);
  return text;
}

/** What the address asks for, or whoever has a file wants it to be. A whole log is about everything. */
function askedIn(bundle: string, { session, txn }: Options): Asked | undefined {
  const query = URL.canParse(bundle) ? new URL(bundle).searchParams : new URLSearchParams();
  const one = (name: string): string | undefined => query.get(name) ?? undefined;
  const number = (name: string): number => (WHOLE.test(one(name) ?? '') ? Number(one(name)) : NaN);
  const ways: Asked[] = [];
  for (const id of new Set([session, one('session')])) if (id !== undefined) ways.push({ session: id });
  for (const id of new Set([txn, one('txn')])) if (id !== undefined) ways.push({ txn: id });
  if (query.has('since') || query.has('until')) ways.push({ from: number('since'), until: number('until') });
  if (query.has('from') || query.has('to')) ways.push({ range: [number('from'), number('to')] });
  if (ways.length > 1) throw new Failure(2, 'a bundle is about one thing: one session, transaction, time or range');
  return ways[0];
}

function tokenOf(bundle: string, { tokenFile }: Options, io: Io): string | undefined {
  if (tokenFile !== undefined) return contentOf(tokenFile, io).trim() || undefined;
  const token = io.env['WRIT_AUDIT_TOKEN'];
  if (token === undefined || token === '' || !/^https?:/.test(bundle)) return undefined;
  if (originOf(bundle) === originOf(io.env['WRIT_ISSUER'] ?? '')) return token;
  io.err('writ: WRIT_AUDIT_TOKEN is sent to WRIT_ISSUER only, and this is not it; --token-file names another');
  return undefined;
}

const originOf = (url: string): string | undefined => (URL.canParse(url) ? new URL(url).origin : undefined);

async function judged(bundle: string, options: AuditorOptions, token: string | undefined): Promise<Verdict> {
  try {
    if (!/^https?:/.test(bundle)) {
      return await verifyBundle(bundle === '-' ? process.stdin : createReadStream(bundle), options);
    }
    const url = secured(bundle);
    if (!url.pathname.endsWith('/bundle')) return await verifyLog(await logAt(url, token), options);
    return await verifyBundle(await bodyOf(withSizes(url, options), token), options);
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure(2, `${bundle} cannot be read: ${cause instanceof Error ? cause.message : 'no reason given'}`, {
      cause,
    });
  }
}

/** Asks for proofs that lead from each of the copies to the bundle. */
function withSizes(url: URL, { copies = [] }: AuditorOptions): URL {
  const sizes = copies.flatMap((copy) => sizeOf(copy) ?? []);
  if (sizes.length > 0 && !url.searchParams.has('sizes')) url.searchParams.set('sizes', sizes.join(','));
  return url;
}

function sizeOf(copy: Uint8Array | string): number | undefined {
  const note = parseNote(copy);
  const checkpoint = note.ok ? parseCheckpoint(note.value.text) : undefined;
  return checkpoint?.ok === true ? checkpoint.value.size : undefined;
}

function secured(text: string): URL {
  if (!URL.canParse(text)) throw new Failure(2, `${text} is not a URL`);
  const url = new URL(text);
  // The audit token must not travel in the clear.
  if (url.protocol === 'https:' || isLoopback(url.hostname)) return url;
  throw new Failure(2, `${text} must be https (http on loopback only)`);
}
