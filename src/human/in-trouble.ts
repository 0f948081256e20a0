import { answeredInTime, problemOfThrown, requestId, type Route } from '../http/index.js';
import { WORDS } from '../words/index.js';
import { sendPage } from './html.js';
import { troublePage } from './pages.js';

/** Says what was thrown to the process, which alone may see it. */
type Report = (thrown: unknown, requestId: string) => void;

/** A page of ours in time, whatever happens behind it: a person can do nothing with a problem in JSON. */
export const shownInTime =
  (report: Report) =>
  (route: Route): Route => {
    const { handle } = answeredInTime(route);
    return {
      ...route,
      handle: async (ctx, params) => {
        try {
          await handle(ctx, params);
        } catch (thrown) {
          report(thrown, requestId(ctx));
          const isPassing = problemOfThrown(thrown).code === 'unavailable';
          sendPage(ctx, isPassing ? AWAY : BROKEN);
          if (isPassing) ctx.set('retry-after', '1');
        }
      },
    };
  };

const AWAY = troublePage(WORDS.trouble.away);

const BROKEN = troublePage(WORDS.trouble.broken);
