export { isCrossSite } from './cross-site.js';
export { type BodyContext, type BodyFlaw, readText } from './body.js';
export { checked, readQuery } from './checked.js';
export { type HttpContext, type Step } from './context.js';
export { isCutOff } from './cut.js';
export { type FormRoute, formRoute, type FormRouteDeps, limitFailures, orOutage } from './form-route.js';
export { FORM_LIMIT, outageAnswer, readForm, type ReadForm, requestOf, sendAnswer } from './form.js';
export { answeredInTime, answerInTime, ANSWER_WITHIN_MS } from './in-time.js';
export { JSON_LIMIT, readJson } from './json.js';
export { clientRoute, jsonRoute, type JsonWork } from './json-route.js';
export {
  answerProblem,
  catchThrown,
  fieldProblem,
  type FieldProblem,
  plainProblem,
  type Problem,
  type ProblemCode,
  problemOfThrown,
  PROBLEMS,
  problemsAt,
  requestId,
} from './problem.js';
export { note, observe, type RequestSpan, type SeenRequest, type Watch } from './observe.js';
export { type Method, type PathParams, type Route, router } from './router.js';
export { healthRoutes, isBearerOf, metricsRoute, type NotReady, readiness, tokenFailure } from './health.js';
export { sendKeys } from './keys.js';
export { listen, type ListenAt, stopListening } from './listen.js';
export { type FailureLimit, failureLimit, type Limit, requestLimit, windowLimit } from './limits.js';
export { type NetworkOf, networkOf, networkSeen } from './network.js';
export { refuseUnreadableTarget } from './target.js';
export { type DirectRoute, shortCut } from './short-cut.js';
export { inTurns } from './turns.js';
