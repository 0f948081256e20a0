-- Which sessions at a company a sign-in or a consent came of. Prisma has no word for an index of an expression.
CREATE INDEX "engine_record_company_idx" ON "engine_record" USING gin (("payload" #> '{origin,sessions}') jsonb_path_ops)
    WHERE "payload" -> 'origin' IS NOT NULL;
