import type { RequestListener } from 'node:http';
import { type HttpContext, PlainContext, type Step } from './context.js';
import { note } from './observe.js';

/** A route that needs nothing of Koa. */
export type DirectRoute = Readonly<{ method: 'POST'; path: string; handle: (ctx: HttpContext) => Promise<void> }>;

/**
 * Serves these routes by themselves, for a request that names exactly their method and path; every other goes on to
 * `otherwise`. Koa around an exchange costs a twentieth of it. `steps` are the layers that Koa would have had around them.
 */
export function shortCut(
  routes: readonly DirectRoute[],
  steps: readonly Step[],
  { otherwise, report }: Readonly<{ otherwise: RequestListener; report: (thrown: unknown) => void }>,
): RequestListener {
  const answers = new Map(routes.map((route) => [`${route.method} ${route.path}`, layered(route, steps)]));
  return (request, response) => {
    const answer = answers.get(`${request.method ?? ''} ${request.url ?? ''}`);
    if (answer === undefined) {
      otherwise(request, response);
      return;
    }
    const ctx = new PlainContext(request, response);
    answer(ctx).then(
      () => {
        ctx.end();
      },
      (thrown: unknown) => {
        report(thrown);
        response.destroy();
      },
    );
  };
}

type Answering = (ctx: HttpContext) => Promise<void>;

const layered = ({ path, handle }: DirectRoute, steps: readonly Step[]): Answering =>
  steps.reduceRight<Answering>(
    (inner, step) => (ctx) => step(ctx, () => inner(ctx)),
    (ctx) => {
      note(ctx, { route: path });
      return handle(ctx);
    },
  );
