import { isEnding } from './revocations.js';

/** What a sign-in is ended by, for good; by the engine's own id of it, which is no credential. */
export const signInTarget = (uid: string): string => `sign-in:${uid}`;

/**
 * SQL: whether a record of the engine is a sign-in that has ended, or came of one. A sign-in ends for good, with the session at the company that it
 * was made with, and with whatever
 * cuts off the person or their issuer with a number above the last that the sign-in had seen (`origin` in its payload).
 *
 * DANGER: a request that has read its sign-in writes it again later, under another key, whatever ended it meanwhile. So this
 * is asked when it is written and, since that statement may not see yet what ends it, whenever it is read.
 */
export const isOfEndedSignIn = (payload = 'payload', uid = 'uid'): string => `EXISTS (
    SELECT 1 FROM revocation r
    WHERE r.target = ANY(ARRAY[
        'sign-in:' || coalesce(${payload} ->> 'sessionUid', ${uid}),
        'person:' || CASE WHEN ${payload} -> 'origin' IS NOT NULL THEN ${payload} ->> 'accountId' END,
        'issuer:' || (${payload} #>> '{origin,issuer}')]
        || ARRAY(SELECT 'company-session:' || s FROM jsonb_array_elements_text(${payload} #> '{origin,sessions}') AS s))
      AND ${isEnding(`(${payload} #>> '{origin,seen}')::bigint`)})`;
