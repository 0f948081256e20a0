import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Result } from '../../base/index.js';
import type { JsonObject } from '../../protocol/index.js';
import { admit, type Admitted, type GuardDeps, type GuardRules } from './admit.js';
import type { Answer } from './answer.js';
import type { AuthInfo, Delegation } from './delegation.js';
import { VerifierError } from './errors.js';
import { mayCall } from './grant.js';
import { answerFetch, fetchInbound, readChunks, withText } from './fetch.js';
import { isThenable } from './outcomes.js';
import type { Hold } from './standing.js';
import { answerNode, failNode, nodeInbound, readNodeBody } from './node.js';

/** One tool call that was let through: for whom, and the arguments exactly as they were sent and approved. */
export type ApprovedCall = Readonly<{
  tool: string;
  arguments: JsonObject;
  delegation: Delegation;
  /**
   * Fires while the call runs when its token expires and Writ does not have it run on and, where the verifier follows the
   * feed, when it is revoked or the feed is too old to know. The reason is a {@link VerifierError}. Stop then; nobody else stops the work.
   */
  signal: AbortSignal;
}>;

/** The `fetch` of the v2 SDK's `createMcpHandler`, and anything of its shape. */
export type FetchHandler = (
  request: Request,
  options: { authInfo: AuthInfo; parsedBody?: unknown },
) => Promise<Response>;

/** The `handleRequest` of a Node transport (v1 and v2) or the v2 SDK's `toNodeHandler`. */
export type NodeHandler = (
  request: IncomingMessage & { auth: AuthInfo },
  response: ServerResponse,
  parsedBody?: unknown,
) => unknown;

/** Stands before the MCP server and lets only those calls through that the token permits. */
export interface Guard {
  /** Wraps a web-standard handler. */
  fetch(handler: FetchHandler): (request: Request) => Promise<Response>;
  /** Wraps a Node handler. Nobody may have read the body before. A handler that rejects is answered with a plain 500. */
  node(handler: NodeHandler): (request: IncomingMessage, response: ServerResponse) => void;
  /** Express middleware; sets `req.auth` and `req.body`. Mount it before any body parser. */
  express(): (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void;
  /**
   * The call that a handler is serving, by the context it was given; once, so that one approval runs one handler. Give it
   * to `run`: before that, and where the work is no native Promise, its end cannot be seen, and it ends with its token.
   */
  call(tool: string, context: unknown): ApprovedCall;
  /**
   * Does the work of a call that was taken by `call`, and tells Writ what became of it; what the work answers or throws
   * passes as it is. `context` is that of the handler: its signal says that the caller gave up. `tool` does this by itself.
   */
  run<Out>(call: ApprovedCall, work: () => Out, context?: unknown): Out;
  /**
   * Those of these tools that the token of this context may call, for an answer to `tools/list`. A convenience: whatever
   * is listed, the guard refuses the call that the token does not cover.
   */
  visible<Tool extends Readonly<{ name: string }>>(tools: readonly Tool[], context: unknown): readonly Tool[];
  /** Wraps the handler of a registered tool, which gets the {@link ApprovedCall} after its parsed arguments. */
  tool<Args, Context, Out>(
    tool: string,
    handler: (args: Args, call: ApprovedCall, context: Context) => Out,
  ): (args: Args, context: Context) => Out;
}

/** `within` runs the rest of a request so that `verifyAccessToken` knows it was admitted. */
export type Within = <T>(authInfo: AuthInfo, rest: () => T) => T;

/** See {@link Guard}. */
export function createGuard(rules: GuardRules, deps: GuardDeps, within: Within): Guard {
  // By identity of the delegation, which survives the copies that frameworks make of the bearer information.
  const calls = new WeakMap<object, Readonly<{ tool: string; arguments: JsonObject; delegation: Delegation }>>();
  const holds = new WeakMap<ApprovedCall, Hold>();
  const known = new WeakMap<object, Delegation>();
  const enter = (result: Result<Admitted, Answer>): Result<Admitted, Answer> => {
    if (result.ok) known.set(result.value.authInfo.extra.writ, result.value.authInfo.extra.writ);
    if (!result.ok || !result.value.message?.call) return result;
    const { writ: delegation } = result.value.authInfo.extra;
    const { tool, arguments: sent } = result.value.message.call;
    calls.set(delegation, Object.freeze({ tool, arguments: sent, delegation }));
    return result;
  };
  const call: Guard['call'] = (tool, context) => {
    const delegation = delegationIn(context);
    const admitted = delegation && calls.get(delegation);
    if (!delegation || admitted?.tool !== tool) throw new VerifierError('not_admitted');
    calls.delete(delegation);
    const hold = deps.standing.hold(admitted.delegation, tool);
    const stopped = hold.stopped();
    if (stopped !== undefined) throw stopped;
    const approved = Object.freeze({ ...admitted, signal: hold.signal });
    holds.set(approved, hold);
    return approved;
  };
  const run: Guard['run'] = (approved, work, context) => {
    const [hold, caller] = [holds.get(approved), signalIn(context)];
    const stopped = (): string | undefined =>
      classOf(hold?.stopped()) ?? (caller?.aborted === true ? 'AbortError' : undefined);
    return releasing(hold, () => deps.outcomes.watch(approved, stopped, work));
  };
  const admitNode = async (request: IncomingMessage): Promise<Result<Admitted, Answer>> =>
    enter(await admit(nodeInbound(request), (limit) => readNodeBody(request, limit), rules, deps));

  const visible: Guard['visible'] = (tools, context) => {
    const found = delegationIn(context);
    const delegation = found && known.get(found);
    const terms = { resource: deps.resource, scopes: rules.scopes };
    return delegation === undefined ? [] : tools.filter(({ name }) => mayCall(name, delegation, terms));
  };
  return {
    call,
    visible,
    tool: (tool, handler) => (args, context) => {
      const approved = call(tool, context);
      return run(approved, () => handler(args, approved, context), context);
    },
    run,
    fetch: (handler) => async (request) => {
      const admitted = enter(
        await admit(fetchInbound(request), (limit) => readChunks(request.body ?? [], limit), rules, deps),
      );
      if (!admitted.ok) return answerFetch(admitted.error);
      const { authInfo, message } = admitted.value;
      const answer = await within(authInfo, () =>
        message
          ? handler(withText(request, message.text), { authInfo, parsedBody: message.body })
          : handler(request, { authInfo }),
      );
      return message?.body['method'] === 'tools/list' ? deps.tools.watch(answer) : answer;
    },
    node: (handler) => (request, response) => {
      const serve = async (): Promise<void> => {
        const admitted = await admitNode(request);
        if (!admitted.ok) {
          answerNode(response, admitted.error);
          return;
        }
        const { authInfo, message } = admitted.value;
        await within(authInfo, () => handler(Object.assign(request, { auth: authInfo }), response, message?.body));
      };
      serve().catch(() => {
        failNode(response);
      });
    },
    express: () => (request, response, next) => {
      void admitNode(request).then((admitted) => {
        if (!admitted.ok) {
          answerNode(response, admitted.error);
          return;
        }
        const { authInfo, message } = admitted.value;
        Object.assign(request, { auth: authInfo, ...(message && { body: message.body }) });
        within(authInfo, next);
      }, next);
    },
  };
}

/** Lets go of a call when its work is over. Work that cannot be looked at is held until its token expires. */
function releasing<Out>(hold: Hold | undefined, work: () => Out): Out {
  const release = (): void => hold?.release();
  try {
    const out = work();
    if (out instanceof Promise) {
      hold?.willRelease();
      out.then(release, release);
    } else if (!isThenable(out)) release();
    return out;
  } catch (thrown) {
    release();
    throw thrown;
  }
}

/** What the outcome says of a call that was told to stop: `Revoked`, `Expired`, `FeedStale` and so on. */
const classOf = (error: VerifierError | undefined): string | undefined =>
  error?.reason.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** v1 handlers find the bearer information at `extra.authInfo`, v2 handlers at `ctx.http.authInfo`. */
function delegationIn(context: unknown): object | undefined {
  const authInfo = member(context, 'authInfo') ?? member(member(context, 'http'), 'authInfo');
  return asObject(member(member(authInfo, 'extra'), 'writ'));
}

/** v1 handlers find it at `extra.signal`, v2 handlers at `ctx.mcpReq.signal`. */
function signalIn(context: unknown): AbortSignal | undefined {
  const signal = member(context, 'signal') ?? member(member(context, 'mcpReq'), 'signal');
  return signal instanceof AbortSignal ? signal : undefined;
}

function member(value: unknown, name: string): unknown {
  const object = asObject(value);
  return object && Reflect.get(object, name);
}

const asObject = (value: unknown): object | undefined =>
  typeof value === 'object' && value !== null ? value : undefined;
