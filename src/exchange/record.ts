import type { RecordHead } from '../audit/index.js';
import { recordHead } from '../audit/index.js';
import type { Seconds } from '../base/index.js';
import type { Caller } from '../client/index.js';
import type { Delegation, Presenter } from '../delegation/index.js';
import { ClientId, type FormRequest, type Json, ResourceUri, sha256 } from '../protocol/index.js';
import { inputDigest, type Judged, type Opinion, toldOf } from '../policy/index.js';
import type { Reservation } from '../session/index.js';
import type { PreparedToken } from '../token/index.js';
import type { ExchangeRequest } from './request.js';

/** What was known of an exchange when it was decided; the further it got, the more there is. */
export type Known = Readonly<{
  http: Pick<FormRequest, 'requestId' | 'traceId' | 'traceparent' | 'trace' | 'isOver'>;
  now: Seconds;
  registryVersion: number;
  policy: string;
  /** What other decision points said; `undefined` where none is configured. */
  opinions?: readonly Opinion[] | undefined;
  caller: Caller;
  request?: ExchangeRequest | undefined;
  presenter?: Presenter | undefined;
  delegation?: Delegation | undefined;
  token?: PreparedToken | undefined;
  reservation?: Reservation | undefined;
  personId?: string | undefined;
  /** Commits to who a person is whom we meet for the first time. */
  met?: string | undefined;
  /** What the policy set was asked. */
  judged?: readonly Judged[];
  decision?: string | undefined;
  /** The request to people that it redeems. */
  approval?: string | undefined;
  evidence?: Readonly<Record<string, string | number>>;
}>;

/** A record has room for as many as anybody reads; the version of the policy set tells the others. */
const MOST_POLICIES = 32;
const MOST_BUDGETS = 32;

/** Who, through whom, what, where and until when: identifiers and digests, nothing of a token, secret or argument. */
export function exchangeRecord(known: Known): RecordHead {
  const { caller, delegation, token, request } = known;
  return recordHead('exchange', known.now, {
    request: known.http.requestId,
    trace: known.http.traceId ?? null,
    traceparent: known.http.traceparent ?? null,
    client: { id: caller.clientId, kind: caller.party.kind, method: caller.method, key: caller.keyId ?? null },
    person: known.personId ?? delegation?.person.id ?? null,
    met: known.met,
    subject: broughtOf(delegation),
    actors: delegation?.actors.map(({ sub, iss }) => ({ sub, iss })) ?? null,
    target: request === undefined ? null : targetOf(request.wanted.target),
    tools: toolsOf(known),
    budgets: known.reservation === undefined ? undefined : reservedOf(known.reservation),
    scope: token?.scope ?? request?.wanted.scopes?.slice(0, 64).join(' ') ?? null,
    task: delegation?.context.task ?? null,
    purpose: delegation?.context.purpose ?? null,
    authn: delegation?.subject.acr ?? null,
    decision: known.decision ?? token?.receipt.decision ?? null,
    input: inputDigest(known.judged ?? [], delegation?.wanted.tools ?? []),
    approval: known.approval ?? null,
    policy: known.policy,
    policies: known.token === undefined ? undefined : known.token.grant.policies.slice(0, MOST_POLICIES),
    opinions: toldOf(known.opinions),
    registry: known.registryVersion,
    txn: token?.transaction ?? delegation?.subject.transaction ?? null,
    token:
      token === undefined
        ? null
        : {
            hash: token.tokenHash,
            typ: token.typ,
            key: token.kid,
            exp: token.expiresAt,
            bound: delegation?.jkt ?? null,
          },
    ...(request === undefined || request.ignored.length === 0 ? {} : { ignored: [...request.ignored] }),
    ...(known.evidence === undefined || Object.keys(known.evidence).length === 0 ? {} : { evidence: known.evidence }),
  });
}

function broughtOf(delegation: Delegation | undefined): Json | undefined {
  const brought = delegation?.subject.brought;
  if (brought === undefined) return undefined;
  const { issuer, tokenType, typ, audience, parties, scopeClaim, isScoped, key } = brought;
  return {
    ...{ issuer, token_type: tokenType, typ, audience, parties: [...parties] },
    ...{ scope_claim: scopeClaim, scoped: isScoped, key },
  };
}

/** A target that has the form of one is named; any other text, a token pasted by mistake perhaps, only by its digest. */
function targetOf(target: ExchangeRequest['wanted']['target']): Json {
  const [form, text] =
    target.kind === 'server'
      ? [ResourceUri, target.resource]
      : target.kind === 'agent'
        ? [ClientId, target.clientId]
        : [undefined, target.name];
  return form === undefined || form.safeParse(text).success
    ? { ...target }
    : { kind: target.kind, sha256: sha256(text) };
}

/** What is reserved of budgets, whose name says whose they are; identifiers and amounts. */
const reservedOf = ({ debits }: Reservation): Json =>
  debits.slice(0, MOST_BUDGETS).map(({ unit, scope, currency, limit, amount }) => ({
    ...{ unit, per: scope, limit, amount },
    ...(currency === undefined ? {} : { currency }),
  }));

function toolsOf({ token, request }: Known): Json {
  const granted = token?.grant.details?.map(({ identifier, arguments_sha256, max_uses }) => ({
    name: identifier,
    arguments_sha256: arguments_sha256 ?? null,
    max_uses,
  }));
  const wanted = request?.wanted.tools
    ?.slice(0, 32)
    .map(({ name, argumentsSha256 }) => ({ name, arguments_sha256: argumentsSha256 ?? null }));
  return granted ?? wanted ?? null;
}
