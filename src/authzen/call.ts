import type { DecisionPoints } from '../policy/index.js';
import { Point, type PointSettings, type PointWatch } from './call-point.js';

/** The configured decision points, each asked over kept connections. `undefined` where there is none: nobody is asked. */
export function openDecisionPoints(
  settings: readonly PointSettings[],
  watch: PointWatch,
): (DecisionPoints & Readonly<{ close(): void }>) | undefined {
  if (settings.length === 0) return undefined;
  const points = settings.map((one) => new Point(one, watch));
  const of = (resource: string): readonly Point[] => points.filter((point) => point.decidesOn(resource));
  return {
    idsFor: (resource) => of(resource).map(({ id }) => id),
    ask: (question, requestId) => Promise.all(of(question.resource).map((point) => point.ask(question, requestId))),
    close: () => {
      for (const point of points) point.close();
    },
  };
}
