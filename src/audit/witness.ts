import { err, ok, type Result, type Seconds } from '../base/index.js';
import {
  consistencyProof,
  formatNote,
  parseLine,
  parseNote,
  type TileReader,
  type VerifierKey,
  verifyNote,
} from '../tlog/index.js';

/** Who is asked to cosign. `url`: its submission prefix. `keys`: those of its verifier keys that are trusted. */
export type Witness = Readonly<{ url: string; keys: readonly VerifierKey[] }>;

/** A signature line of a witness that verified, and when it says that it cosigned. */
export type Cosignature = Readonly<{ name: string; line: string; at: Seconds }>;

/** Why a witness did not cosign. `ahead`: it says that it has cosigned a larger tree than ours, which no honest log has. */
export type WitnessFlaw = 'unreachable' | 'refused' | 'ahead' | 'not_cosigned';

/** Sends one request body and answers what came. Never follows a redirect, and gives up in bounded time and size. */
export type PostText = (url: string, body: string) => Promise<Readonly<{ status: number; body: string }>>;

export type Submission = Readonly<{ note: string; size: number; from: number }>;

/**
 * C2SP tlog-witness, add-checkpoint: has a witness cosign this checkpoint. `from` is the size that it cosigned last, as
 * far as we know; when it says another (409) it is asked once more from there. Nothing of what it answers is kept but
 * cosignatures of its trusted keys that verify.
 */
export async function askWitness(
  witness: Witness,
  submission: Submission,
  { post, tiles }: Readonly<{ post: PostText; tiles: TileReader }>,
): Promise<Result<readonly Cosignature[], WitnessFlaw>> {
  const first = await submit(witness, submission, { post, tiles });
  const said = first?.status === 409 ? sizeIn(first.body) : undefined;
  if (said !== undefined && said > submission.size) return err('ahead');
  const answer = said === undefined ? first : await submit(witness, { ...submission, from: said }, { post, tiles });
  if (!answer) return err('unreachable');
  if (answer.status !== 200) return err('refused');
  const cosignatures = cosignaturesIn(answer.body, submission.note, witness.keys);
  return cosignatures.length > 0 ? ok(cosignatures) : err('not_cosigned');
}

async function submit(
  { url }: Witness,
  { note, size, from }: Submission,
  { post, tiles }: Readonly<{ post: PostText; tiles: TileReader }>,
): Promise<Readonly<{ status: number; body: string }> | undefined> {
  const proof = await consistencyProof(from, size, tiles);
  const lines = proof.ok ? proof.value.map((hash) => hash.toString('base64')) : [];
  const body = [`old ${from}`, ...lines, '', note].join('\n');
  return post(`${url.replace(/\/$/, '')}/add-checkpoint`, body).catch(() => undefined);
}

/** The size in the body of a 409: a decimal and a newline. */
function sizeIn(body: string): number | undefined {
  const size = /^(0|[1-9]\d{0,15})\n$/.exec(body)?.[1];
  return size !== undefined && Number.isSafeInteger(Number(size)) ? Number(size) : undefined;
}

const MOST_LINES = 16;

/** The lines of trusted keys that verify over this checkpoint; all others are passed over. */
function cosignaturesIn(body: string, note: string, keys: readonly VerifierKey[]): readonly Cosignature[] {
  const parsed = parseNote(note);
  if (!parsed.ok || !body.endsWith('\n')) return [];
  const { text } = parsed.value;
  return body
    .slice(0, -1)
    .split('\n')
    .slice(0, MOST_LINES)
    .flatMap((line) => {
      const read = parseLine(line);
      const one = read && parseNote(formatNote(text, [line]));
      const signed = one?.ok === true ? verifyNote(one.value, keys) : undefined;
      const by = signed?.ok === true ? signed.value[0] : undefined;
      return by?.at === undefined ? [] : [{ name: by.by.name, line, at: by.at }];
    });
}
