import type { Context } from 'koa';
import { z } from 'zod';
import { asClient, type AsClientDeps, challenged, type Spending, withBearerAssertion } from '../client/index.js';
import {
  answerInTime,
  type FormRouteDeps,
  orOutage,
  readQuery,
  requestId,
  requestOf,
  type Route,
  sendAnswer,
} from '../http/index.js';
import { type Answer, FEED_PATH, type FormRequest, tooManyRequests } from '../protocol/index.js';
import type { SignedBatch } from './batch.js';
import type { Feed } from './feed.js';
import { Follower, followingServer, type FollowingServer } from './follower.js';
import { Places } from './places.js';

export type FeedRoutesDeps = AsClientDeps & Readonly<{ feed: Feed; states: Spending }>;

/** The path below which the feed owns every request. */
export const feedPrefix = (issuer: string): string => `${new URL(issuer).pathname.replace(/\/$/, '')}${FEED_PATH}`;

/** The feed for MCP servers: the long poll, the stream and the snapshot. */
export function feedRoutes(deps: FeedRoutesDeps, at: FormRouteDeps): readonly Route[] {
  const { feed } = deps;
  const mount = feedPrefix(deps.settings.issuer);
  const places = new Places();
  const route = (path: string, answer: Answering): Route => ({
    method: 'GET',
    path: `${mount}${path}`,
    handle: (ctx) => serve(ctx, `${FEED_PATH}${path}`, { deps, places, answer, at }),
  });
  return [
    route(
      '',
      batches((after) => feed.poll(after)),
    ),
    route(
      '/snapshot',
      batches((after) => feed.snapshot(after, MAX_BATCHES)),
    ),
    route('/events', (ctx, asked) => stream(ctx, asked, feed)),
  ];
}

type Asked = Readonly<{ server: FollowingServer; after: number; report: (thrown: unknown) => void }>;
type Answering = (ctx: Context, asked: Asked) => Promise<void>;
type Serving = Readonly<{ deps: FeedRoutesDeps; places: Places; answer: Answering; at: FormRouteDeps }>;

/** Who asks, and from where on; then the answer, in the words of OAuth whatever happens. */
async function serve(ctx: Context, route: string, { deps, places, answer, at }: Serving): Promise<void> {
  const own = requestId(ctx);
  const report = (thrown: unknown): void => {
    at.report(thrown, own);
  };
  const request = requestOf(ctx, new Map(), at.networkOf);
  const admitted: FollowingServer[] = [];
  const admission = await orOutage(
    answerInTime((isOver) => admit({ ...request, isOver }, route, { deps, admitted })),
    report,
  );
  const [server] = admission.status === 200 ? admitted : [];
  const after = startOf(ctx);
  if (server === undefined) sendAnswer(ctx, admission);
  else if (after === undefined) sendAnswer(ctx, MALFORMED);
  else {
    const place = places.keep(server.clientId, ctx.res);
    if (place === 'kept') await answer(ctx, { server, after, report });
    else sendAnswer(ctx, place === 'client_full' ? tooManyRequests(1) : FULL);
  }
}

type Admitting = Readonly<{ deps: FeedRoutesDeps; admitted: FollowingServer[] }>;

/** An active MCP server, by its own client authentication, whose assertion is good once. */
async function admit(http: FormRequest, route: string, { deps, admitted }: Admitting): Promise<Answer> {
  const answer = await asClient(withBearerAssertion(http), route, deps, async ({ party, spends }, registry) => {
    const { requestId } = http;
    const question = { requestId, registryVersion: registry.version, spends, tokenHash: undefined, consume: undefined };
    const state = await deps.states.ask(question);
    if (state.registryVersion !== registry.version) return 'stale';
    if (state.replayed) return 'replayed';
    if (party.kind !== 'server') return NO_SERVER;
    admitted.push(followingServer(party.server));
    return { status: 200, headers: HEADERS, body: undefined };
  });
  return answer.status === 401 ? challenged(answer) : answer;
}

const batches =
  (read: (after: number) => Promise<readonly SignedBatch[]>): Answering =>
  async (ctx, { after, report }) => {
    const answer = async (): Promise<Answer> => {
      const some = (await read(after)).slice(0, MAX_BATCHES);
      return { status: 200, headers: HEADERS, body: { batches: some.map(({ jws }) => jws) } };
    };
    sendAnswer(ctx, await orOutage(answerInTime(answer), report));
  };

/** HTML, "Server-sent events". Nothing is sent before there is something to follow, so that an outage is a 503. */
async function stream(ctx: Context, { server, after, report }: Asked, feed: Feed): Promise<void> {
  const begun = await orOutage(
    feed.ready().then(() => BEGUN),
    report,
  );
  if (begun !== BEGUN) {
    sendAnswer(ctx, begun);
    return;
  }
  ctx.respond = false;
  ctx.res.writeHead(200, { ...HEADERS, 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' });
  if (ctx.method === 'HEAD') {
    ctx.res.end();
    return;
  }
  const follower = new Follower(server, ctx.res);
  // A response that closed meanwhile is followed by nobody: `follow` sees that it is gone.
  ctx.res.once('close', () => {
    feed.leave(follower);
  });
  await feed.follow(follower, after).catch((thrown: unknown) => {
    report(thrown);
    follower.cut();
  });
}

const Start = z
  .string()
  .regex(/^(0|[1-9]\d{0,14})$/)
  .transform(Number);
const Query = z.strictObject({ after: Start.optional() });

/** Where a stream broke off it goes on: `Last-Event-ID` is newer than what the address said at first. */
function startOf(ctx: Context): number | undefined {
  const query = readQuery(Query, ctx.querystring);
  if (!query.ok) return undefined;
  const last = ctx.get('Last-Event-ID');
  return last === '' ? (query.value.after ?? 0) : Start.safeParse(last).data;
}

const MAX_BATCHES = 16;
const HEADERS = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const;
const BEGUN: Answer = { status: 200, headers: HEADERS, body: undefined };

const refused = (error: string, error_description: string): Answer => ({
  status: 400,
  headers: HEADERS,
  body: { error, error_description },
});
const NO_SERVER = refused('unauthorized_client', 'only an MCP server follows the feed');
const MALFORMED = refused('invalid_request', 'after must be a whole number, and nothing else may be asked');
const FULL: Answer = {
  status: 503,
  headers: { ...HEADERS, 'Retry-After': '1' },
  body: { error: 'temporarily_unavailable', error_description: 'as many follow the feed of this process as may' },
};
