import { type Answer, type FormRequest, JWT_BEARER_ASSERTION } from '../protocol/index.js';

/**
 * The credentials of a request without a form, as if it had one. RFC 7523 knows an assertion as a parameter of a form only;
 * where the body is JSON it comes as the bearer token. `Basic` stays what it is.
 */
export function withBearerAssertion(request: FormRequest): FormRequest {
  const headers = request.header('authorization');
  const assertion = headers.length === 1 ? /^Bearer ([^\s]+)$/i.exec(headers[0] ?? '')?.[1] : undefined;
  if (assertion === undefined) return request;
  return {
    ...request,
    form: new Map([
      ['client_assertion', [assertion]],
      ['client_assertion_type', [JWT_BEARER_ASSERTION]],
    ]),
    header: (name) => (name === 'authorization' ? [] : request.header(name)),
  };
}

/** RFC 9110 section 11.6.1: a 401 says how to authenticate. */
export const challenged = (answer: Answer): Answer => ({
  ...answer,
  headers: { ...answer.headers, 'WWW-Authenticate': 'Bearer realm="writ", Basic realm="writ"' },
});
