import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import type { House } from './house.js';

const Keys = z.object({ keys: z.array(z.object({ vkey: z.string() })).min(1) });

/** A transaction as auditors get it: its picture, and the files by which anybody can judge it. */
export type Proof = Readonly<{ picture: string; command: readonly string[]; verdict: string }>;

/** Fetches the bundle of a transaction once all of it is in the tree, and judges it with no connection to anything. */
export async function proofOf(txn: string, { issuer, tokenFile, folder, writ, offline }: House): Promise<Proof> {
  const authorization = `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}`;
  const picture = await traced(txn, writ);
  const [bundle, key] = [join(folder, 'bundle.jsonl'), join(folder, 'log.vkey')];
  const records = Number(/(\d+) records/.exec(picture)?.[1]);
  await writeFile(bundle, await fetched(`${issuer}/audit/v1/bundle?txn=${txn}`, { authorization, records }));
  const known = Keys.parse(await (await fetch(`${issuer}/audit/v1/keys`)).json());
  await writeFile(key, `${known.keys[0]?.vkey ?? ''}\n`);
  const command = ['audit', 'verify', bundle, '--key', key];
  return { picture, command, verdict: await offline(...command) };
}

/** Outcomes are reported beside the calls, so the last of them may come a moment later. */
async function traced(txn: string, writ: House['writ']): Promise<string> {
  for (let tried = 0; ; tried++) {
    const picture = await writ('audit', 'trace', txn);
    if (picture.includes('  outcome  ') || tried === 50) return picture;
    await wait(200);
  }
}

/** Every record is in the tree within a second or so. */
async function fetched(url: string, wanted: Readonly<{ authorization: string; records: number }>): Promise<string> {
  for (let tried = 0; ; tried++) {
    const answer = await fetch(url, { headers: { authorization: wanted.authorization } });
    const text = await answer.text();
    const entries = text.split('\n').filter((line) => line.startsWith('{"index"')).length;
    if (answer.ok && entries >= wanted.records) return text;
    if (tried === 50) throw new Error(`${url} answers ${String(answer.status)} with ${String(entries)} entries`);
    await wait(200);
  }
}
