import { newId } from '../base/index.js';
import type { Opinion, Opinions, PointRefusal } from './opinion.js';

/** The first of the wanted points that does not say yes to every one of these tools; a missing word is silence. */
export function dissent(opinions: Opinions | undefined, tools: readonly string[]): PointRefusal | undefined {
  if (opinions === undefined) return undefined;
  for (const point of opinions.wanted) {
    const given = opinions.given.filter((opinion) => opinion.point === point);
    const no = given.find(({ says }) => says !== 'yes');
    if (no !== undefined) return refusal(point, no, no.refused ?? tools[0] ?? '');
    const unheard = tools.find((tool) => !given.some((opinion) => opinion.tools.includes(tool)));
    if (unheard !== undefined) return refusal(point, { because: 'malformed' }, unheard);
  }
  return undefined;
}

const refusal = (point: string, { because }: Pick<Opinion, 'because'>, tool: string): PointRefusal => ({
  reason: because === 'decided' || because === 'obligation' ? 'decision_point_refuses' : 'decision_point_silent',
  term: 'policy',
  point,
  because,
  tool,
  decision: newId('dec'),
  policies: [],
  messages: [],
});
