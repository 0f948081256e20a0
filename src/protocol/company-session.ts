import { sha256 } from './canonical.js';

/** A session (`sid`) at an identity provider or a trusted issuer, without telling it. */
export const companySession = (issuer: string, sid: string): string => sha256(JSON.stringify([issuer, sid]));

/** What a revocation of it names. It ends for good. */
export const companySessionTarget = (session: string): string => `company-session:${session}`;
