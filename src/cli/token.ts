import { type JwsFlaw, parseJws } from '../protocol/index.js';
import { delegationChain, delegationPicture } from './chain.js';
import { Failure, type Io } from './io.js';

/** `writ token decode`: shows what a token says. Whether any of it is true is for a verifier to find out. */
export async function decodeToken({ json = false }: Readonly<{ json?: boolean }>, io: Io): Promise<void> {
  const token = (await io.readStdin()).trim().replace(/^(Bearer|DPoP) /i, '');
  if (token === '')
    throw new Failure(2, 'give the token on standard input, so that it stays out of the history of your shell');
  const jws = parseJws(token);
  if (!jws.ok) throw new Failure(1, `this is not a token that Writ would read: ${WORDS[jws.error]}`);
  const { header, payload } = jws.value;
  if (json) {
    io.out(JSON.stringify({ verified: false, header, claims: payload, chain: delegationChain(payload) }, null, 2));
    return;
  }
  const parts = [JSON.stringify(header, null, 2), JSON.stringify(payload, null, 2), delegationPicture(payload)];
  io.out(['Not verified: this shows what the token says, not whether it is true.', ...parts].join('\n\n'));
}

const WORDS: Readonly<Record<JwsFlaw, string>> = {
  too_long: 'it is longer than 16 KB',
  not_compact: 'it has not three parts between dots',
  bad_base64url: 'a part is not strict base64url',
  bad_json: 'a part is not strict JSON',
  bad_header: 'its header has no algorithm that Writ knows',
  unknown_crit: 'its header asks for an extension',
};
