import { createReadStream } from 'node:fs';
import type { Command } from 'commander';
import {
  type AuditorOptions,
  type LogSource,
  parseVerifierKey,
  verifyBundle,
  type Verdict,
  type VerifierKey,
  verifyLog,
} from '../sdk/auditor/index.js';
import { isLoopback, parseObject } from '../protocol/index.js';
import { parseCheckpoint, parseNote } from '../tlog/index.js';
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
    tokenFile?: string;
  }>;

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
    .option('--token-file <file>', 'file with the audit token (else WRIT_AUDIT_TOKEN), to read entries of a URL')
    .addOption(JSON_OPTION())
    .action(async (bundle: string, options: Options) => {
      const verdict = await judged(bundle, trusted(options, io), tokenOf(options, io));
      io.out(options.json === true ? JSON.stringify(verdict, null, 2) : describeVerdict(verdict).join('\n'));
      if (!verdict.isProved) throw new Failure(1, 'not proved');
    });
}

function trusted({ key, witness, quorum, copy, origin, prunedBelow }: Options, io: Io): AuditorOptions {
  const keys = key.map((one) => verifier(one, io));
  if (keys.length === 0) throw new Failure(2, "give the log's verifier key with --key; nothing can be trusted without");
  const witnesses = witness.map((one) => verifier(one, io));
  const wanted = quorum === undefined ? witnesses.length : Number(quorum);
  if (!Number.isInteger(wanted) || wanted < 0 || wanted > witnesses.length) {
    throw new Failure(2, '--quorum must be a number of the witnesses that are given');
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

function tokenOf({ tokenFile }: Options, io: Io): string | undefined {
  const token = tokenFile === undefined ? io.env['WRIT_AUDIT_TOKEN'] : contentOf(tokenFile, io).trim();
  return token === '' ? undefined : token;
}

async function judged(bundle: string, options: AuditorOptions, token: string | undefined): Promise<Verdict> {
  try {
    if (!/^https?:/.test(bundle)) {
      return await verifyBundle(bundle === '-' ? process.stdin : createReadStream(bundle), options);
    }
    const url = secured(bundle);
    if (!url.pathname.endsWith('/bundle')) return await verifyLog(logAt(url, token), options);
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

const ask = (url: URL | string, token: string | undefined): Promise<Response> =>
  fetch(url, {
    redirect: 'error',
    signal: AbortSignal.timeout(600_000),
    headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
  });

async function bodyOf(url: URL, token: string | undefined): Promise<AsyncIterable<Uint8Array>> {
  const response = await ask(url, token);
  if (!response.ok || response.body === null) throw new Failure(2, `${url.href} answered ${response.status}`);
  return response.body;
}

/** Entries one by one, as a bundle has them. Nothing but the leaves is taken from it: their hashes are proved by the tiles. */
async function contentsOf(
  bundle: string,
  token: string | undefined,
): Promise<ReadonlyMap<number, Uint8Array | 'pruned' | 'lost'>> {
  const response = await ask(bundle, token);
  if (!response.ok) throw new Failure(2, `${bundle} answered ${response.status}`);
  const lines = (await response.text()).trimEnd().split('\n').map(parseObject);
  return new Map(
    lines.flatMap((line): [number, Uint8Array | 'pruned' | 'lost'][] => {
      const { index, leaf, pruned } = line.ok ? line.value : {};
      if (typeof index !== 'number') return [];
      if (typeof leaf === 'string') return [[index, Buffer.from(leaf, 'base64url')]];
      return [[index, pruned === true ? 'pruned' : 'lost']];
    }),
  );
}

/** A log by its URL. The token goes to the entries only: everything else of a log is public. */
function logAt(url: URL, token: string | undefined): LogSource {
  const prefix = url.href.replace(/\/$/, '');
  return {
    hasEntries: token !== undefined,
    contents: (start, end) => contentsOf(`${prefix}/bundle?from=${start}&to=${end}`, token),
    read: async (path) => {
      const isOfEntries = path.startsWith('tile/entries/');
      const response = await ask(`${prefix}/${path}`, isOfEntries ? token : undefined);
      if (response.status === 404 || response.status === 410) return undefined;
      // What lacks an entry is not served: which one, the entries say one by one.
      if (response.status === 503 && isOfEntries) return undefined;
      if (!response.ok) throw new Failure(2, `${prefix}/${path} answered ${response.status}`);
      return new Uint8Array(await response.arrayBuffer());
    },
  };
}
