import { codeOf, type Reason } from '../../src/sdk/verifier/errors.js';
import { OAUTH_ERRORS } from '../../src/protocol/index.js';
import { differences, tables } from './documented.js';
import { openTypes } from './reasons.js';
import { saidErrors } from './said.js';

const FILE = 'src/exchange/README.md';
const TYPES = {
  exchange: 'src/exchange/refusal.ts',
  subject: 'src/exchange/own-subject.ts',
  dpop: 'src/protocol/dpop.ts',
  client: 'src/client/caller.ts',
  verifier: 'src/sdk/verifier/errors.ts',
  fault: 'src/base/fault.ts',
  authzen: 'src/authzen/words.ts',
} as const;
/** A question is recorded under what it asks for. */
const ASKED = ['approval', 'exact_call', 'reauthentication'].map((what) => `${what}_required: `);
/** `<tool>` stands in the document where the source puts something in. */
const blank = (sentence: string): string => sentence.replaceAll(/<[^>]*>/g, '…');

/** What the document of errors says and the source does not, or the reverse. */
export function errorFlaws(): readonly string[] {
  const rows = tables(FILE);
  const column = (heading: string, at = 0): readonly string[] => (rows.get(heading) ?? []).map((row) => row[at] ?? '');
  const both = (heading: string, one = 0, two = 1): readonly string[] =>
    (rows.get(heading) ?? []).map((row) => `${row[one] ?? ''}: ${row[two] ?? ''}`);
  const typed = openTypes(Object.values(TYPES));
  const exchange = (name: string, path?: string, beside?: string) => typed(TYPES.exchange, name, path, beside);
  const refusals = exchange('Refusal', 'reason', 'term');
  const named = [...refusals].map(([reason, terms]) => `${reason}: ${terms.join(', ')}`);
  const sentences = [...WIRE, 'What an MCP server with the verifier answers'].flatMap((heading) => both(heading));
  const verifier = [...typed(TYPES.verifier, 'Reason').keys()];
  return [
    ...differences(
      saidErrors().map(({ code, sentence }) => `${code}: ${sentence}`),
      sentences.map(blank),
      'error',
    ),
    ...differences(
      [],
      sentences.map((one) => one.split(':')[0] ?? '').filter((code) => !isCode(code)),
      'code',
    ),
    ...differences([...named, ...ASKED], both('Reasons in the log', 0, 1), 'reason'),
    ...differences(typed(TYPES.subject, 'SubjectFlaw').keys(), column('Causes of subject_invalid'), 'cause'),
    ...differences(
      [...typed(TYPES.dpop, 'DpopFlaw').keys(), 'several_proofs'],
      column('Causes of dpop_invalid'),
      'cause',
    ),
    ...differences(
      typed(TYPES.client, 'ClientRefusal', 'reason').keys(),
      column('Causes of failed client authentication'),
      'cause',
    ),
    ...differences(
      verifier.map((reason) => `${reason}: ${codeOf(reason as Reason)}`),
      both('Reasons of the verifier'),
      'reason',
    ),
    ...differences(
      typed(TYPES.authzen, 'OwnRefusal', 'reason').keys(),
      column('Reasons of /access/v1 beside those of the exchange'),
      'reason',
    ),
    ...differences(typed(TYPES.fault, 'FaultCode').keys(), column('Faults'), 'fault'),
  ];
}

const WIRE = [
  'POST /token, token exchange',
  'POST /token, waiting for a person',
  'POST /introspect',
  'POST /revoke',
  'POST /tools/v1/reports',
  'POST /access/v1',
  'POST /audit/v1/outcomes',
  'POST /agents/v1/keys',
  'All of these',
];
const isCode = (code: string): boolean => OAUTH_ERRORS.some((known) => known === code);
