-- Which sign-in a code, a refresh token or a consent came of. Prisma has no word for an index of an expression.
CREATE INDEX "engine_record_sign_in_idx" ON "engine_record"(("payload" ->> 'sessionUid'));
