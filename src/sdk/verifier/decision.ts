import { z } from 'zod';
import type { Clock } from '../../base/index.js';
import { clientOf, Confirmation, copyJson, isObject, type JsonObject, parseJws } from '../../protocol/index.js';
import { type ApprovalPage, askPerson, cancelRequest, Offer } from './access-request.js';
import type { AuthInfo, Delegation, ToolGrant } from './delegation.js';
import { VerifierError } from './errors.js';
import { type Fetch, fetchJson } from './http.js';
import { bearerOf, type Client } from './introspection.js';
import type { ToolCall } from './message.js';
import { AcrValue, type StepUp } from './sign-in.js';

/** Why a call that its token covers is refused all the same; `reasons` are for the agent. With `stepUp` a fresh sign-in would do, with
 * `page` an approval. */
export type Denial = Readonly<{
  reasons: readonly string[];
  remedy: string | undefined;
  stepUp: StepUp | undefined;
  page: ApprovalPage | undefined;
}>;

/** Asks whether this call may still be made; `undefined` is yes. Rejects with `decision_unavailable` when there is no answer. */
export type Decide = (call: ToolCall, authInfo: AuthInfo, grant: ToolGrant | undefined) => Promise<Denial | undefined>;

export type DecisionOptions = Readonly<{
  decide: 'token' | 'writ';
  client: Client | undefined;
  issuerId: string;
  resource: string;
  fetch: Fetch;
  clock: Clock;
  decideTimeoutMs: number;
}>;

/** AuthZEN 1.0, decision: nothing but these two is an answer. */
const Answer = z.object({
  decision: z.boolean(),
  context: z
    .object({
      reasons: z.array(z.string().max(512)).max(32).optional(),
      remedy: z.string().max(64).optional(),
      evaluation_id: z.string().max(128).optional().catch(undefined),
      access_request: Offer.optional().catch(undefined),
      // RFC 9470 section 3.
      acr_values: z
        .string()
        .max(2_048)
        .transform((text) => text.split(' '))
        .pipe(z.array(AcrValue).max(16))
        .optional()
        .catch(undefined),
      max_age: z.number().int().nonnegative().optional().catch(undefined),
    })
    .optional(),
});

type Context = z.infer<typeof Answer>['context'];

/** With `decide: 'token'` the token is the decision. */
export function createDecide(options: DecisionOptions): Decide {
  const { decide, client, issuerId, fetch } = options;
  if (decide === 'token' || client === undefined) return () => Promise.resolve(undefined);
  return async (call, authInfo, grant) => {
    const init = (body: JsonObject) => ({
      method: 'POST',
      headers: { accept: 'application/json', 'content-type': 'application/json', ...bearerOf(client, options) },
      body: JSON.stringify(body),
      timeoutMs: options.decideTimeoutMs,
    });
    const evaluate = async (question: JsonObject): Promise<z.infer<typeof Answer>> =>
      Answer.parse(await fetchJson(fetch, `${issuerId}/access/v1/evaluation`, init(question)));
    try {
      const question = questionOf(call, authInfo, { grant, ...options });
      const { decision, context } = await evaluate(question);
      if (decision) return undefined;
      const denial = denialOf(context);
      const { access_request: offer, evaluation_id: evaluation } = context ?? {};
      if (denial.remedy !== 'approval' || offer === undefined || evaluation === undefined) return denial;
      const said = await askPerson({ question, offer, evaluation }, { init, ...options });
      if (said.page !== undefined) {
        if (!call.declines) return { ...denial, page: said.page };
        await cancelRequest(said.page, { init, ...options });
        return { ...denial, reasons: [...denial.reasons, DECLINED] };
      }
      if (said.approval === undefined) return denial;
      // ARAP, re-evaluation: Writ says whether what was approved carries this call, and spends it.
      const again = await evaluate({ ...question, context: { ...contextOf(question), approval: said.approval } });
      return again.decision ? undefined : denialOf(again.context);
    } catch (cause) {
      throw new VerifierError('decision_unavailable', { cause });
    }
  };
}

const DECLINED = 'Nobody was asked any further, since this was declined.';

const contextOf = ({ context }: JsonObject): JsonObject => (isObject(context) ? context : {});

function denialOf(context: Context): Denial {
  const { reasons = [], remedy, acr_values, max_age } = context ?? {};
  const stepUp = remedy === 'reauthentication' ? { acrValues: acr_values ?? [], maxAge: max_age } : undefined;
  return { reasons, remedy, stepUp, page: undefined };
}

type About = Readonly<{ grant: ToolGrant | undefined; issuerId: string; resource: string }>;

function questionOf(call: ToolCall, { token, extra }: AuthInfo, { grant, issuerId, resource }: About): JsonObject {
  const { writ: delegation } = extra;
  const { person, client, transaction, task, purpose, acr, authTime, scopes } = delegation;
  const given = {
    subject: {
      type: 'identity',
      id: person,
      properties: { act: actOf(delegation, issuerId), scope: scopes.length === 0 ? undefined : scopes.join(' ') },
    },
    action: { name: 'tools/call' },
    resource: {
      type: 'tool',
      id: call.tool,
      properties: { server: resource, definition_sha256: grant?.definitionSha256 },
    },
    context: {
      agent: client,
      txn: transaction,
      task,
      purpose,
      acr,
      auth_time: authTime,
      arguments: call.arguments,
      cnf: bindingOf(token),
      // What a person approved when the token was asked for; Writ looks it up.
      approval: delegation.approval === undefined ? undefined : { id: delegation.approval },
    },
  };
  const question = copyJson(given);
  return isObject(question) ? question : {};
}

type Act = Readonly<{ sub: string; act?: Act }>;

/** The chain as the token has it, the current actor first; an instance counts as its client. */
function actOf({ client, actors }: Delegation, issuerId: string): Act {
  const earlier = actors.slice(1).filter(({ issuer }) => issuer === issuerId);
  const ids = [client, ...earlier.map(({ id }) => clientOf(id))];
  return (
    ids.reduceRight<Act | undefined>((act, sub) => (act === undefined ? { sub } : { sub, act }), undefined) ?? {
      sub: client,
    }
  );
}

/** Of a token that was verified. */
function bindingOf(token: string): Confirmation | undefined {
  const jws = parseJws(token);
  return jws.ok ? Confirmation.safeParse(jws.value.payload['cnf']).data : undefined;
}
