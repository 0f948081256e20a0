import { z } from 'zod';
import { type Json, type JsonObject } from '../../protocol/index.js';
import { type Fetch, postJson } from './http.js';

/** A page of Writ where a person approves a call, with the number that they are asked for there. */
export type ApprovalPage = Readonly<{ id: string; uri: string; number: string | undefined }>;

/** ARAP, requestable denial. */
export const Offer = z.object({
  endpoint: z.string().max(2_048),
  expires_at: z.string().max(64),
  binding_token: z.string().max(8_192),
});

const JsonValue: z.ZodType<Json> = z.json();

/** ARAP, task handle. What is not known is not approved. */
const Task = z.object({
  task: z.object({
    id: z.string().max(128),
    status: z.string().max(64),
    links: z
      .object({ review: z.string().max(2_048).optional() })
      .optional()
      .catch(undefined),
    display: z
      .object({
        number: z
          .string()
          .regex(/^\d{2}$/)
          .optional(),
      })
      .optional()
      .catch(undefined),
  }),
  result: z
    .object({ mode: z.literal('reevaluate'), approval: z.record(z.string(), JsonValue) })
    .optional()
    .catch(undefined),
});

type Denied = Readonly<{ question: JsonObject; offer: z.infer<typeof Offer>; evaluation: string }>;
type Asking = Readonly<{
  issuerId: string;
  fetch: Fetch;
  init: (body: JsonObject) => { headers: Readonly<Record<string, string>>; body: string; timeoutMs: number };
}>;
/** Where the person is asked, or what they approved; neither where nobody could be asked. */
export type Said = Readonly<{ page?: ApprovalPage | undefined; approval?: JsonObject | undefined }>;

/**
 * Asks the person, or finds what was asked for the same call before. Rejects when Writ is away. DANGER: asks the issuer alone,
 * wherever an answer may point.
 */
export async function askPerson({ question, offer, evaluation }: Denied, asking: Asking): Promise<Said> {
  const endpoint = `${asking.issuerId}/access/v1/requests`;
  if (offer.endpoint !== endpoint) return {};
  const { expires_at, binding_token } = offer;
  const init = asking.init({ ...question, denial: { evaluation_id: evaluation, expires_at, binding_token } });
  const headers = { ...init.headers, 'idempotency-key': evaluation };
  const { status, value } = await postJson(asking.fetch, endpoint, { ...init, headers });
  if (status >= 500) throw new Error(`${new URL(endpoint).origin} answered ${String(status)}`);
  const told = status === 201 || status === 202 ? Task.safeParse(value).data : undefined;
  if (told === undefined) return {};
  const { task, result } = told;
  if (task.status === 'approved') return { approval: result?.approval };
  return task.status === 'pending' ? { page: approvalPage(task, asking.issuerId) } : {};
}

/** ARAP, cancellation: what was asked for waits for nobody any more. */
export async function cancelRequest({ id }: Pick<ApprovalPage, 'id'>, asking: Asking): Promise<void> {
  const { status } = await postJson(
    asking.fetch,
    `${asking.issuerId}/access/v1/requests/${id}/cancel`,
    asking.init({}),
  );
  // 409: it is over already.
  if (status !== 200 && status !== 409)
    throw new Error(`${new URL(asking.issuerId).origin} answered ${String(status)}`);
}

/** `/approvals/<id>` of the issuer itself. DANGER: whatever stands elsewhere would lead people astray in Writ's name. */
function approvalPage(
  { id, links, display }: z.infer<typeof Task>['task'],
  issuerId: string,
): ApprovalPage | undefined {
  const uri = `${issuerId}/approvals/${id}`;
  return /^[\w-]{1,128}$/.test(id) && links?.review === uri ? { id, uri, number: display?.number } : undefined;
}
