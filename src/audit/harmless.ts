import { sha256 } from '../protocol/index.js';

/**
 * What the record of an access says that was asked for. It stays for ever, and people paste tokens, secrets and addresses into
 * the wrong field: only what looks like one of our ids, names, addresses of servers, times and numbers stands there as it is.
 */
export const harmless = (filter: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(filter).map(([name, value]) => [name, isOurs(name, value) ? value : hidden(value)]),
  );

/** DANGER: a digest hides only what nobody can guess, so whatever may be the name of a person leaves none. */
const hidden = (value: string): string => (isUnguessable(value) ? sha256(value) : 'withheld');

const isUnguessable = (value: string): boolean =>
  /[\w-]{10,}\.[\w-]{10,}\.[\w-]{40,}/.test(value) || (/[\w-]{43}/.test(value) && !isWords(value));

const PARTICULAR: Readonly<Record<string, RegExp | undefined>> = {
  person: /^prs_[\w-]{22}$/,
  session: /^ses_[\w-]{22}$/,
  txn: /^[\w-]{22}$/,
  subject: /^$/,
};

const isOurs = (name: string, value: string): boolean =>
  PARTICULAR[name]?.test(value) ?? (/^[a-z]{3}_[\w-]{22}$/.test(value) || isPlain(value));

const isPlain = (value: string): boolean =>
  value.length <= 256 && /^[\w./:~+,%-]*$/.test(value) && value.split(/[./:~+,%]/).every(isShort);

const isShort = (part: string): boolean => part.length <= 20 || isWords(part);

const isWords = (part: string): boolean => /^[a-z0-9]{1,20}([_-][a-z0-9]{1,20})*$/.test(part);
