-- CreateIndex
CREATE INDEX "budget_hold_told_by_expires_at_idx" ON "budget_hold"("told_by", "expires_at");

-- CreateIndex
CREATE INDEX "decision_input_decision_idx" ON "decision_input"("decision");

-- Whose client and whose account a record of the engine is. Prisma has no word for an index of an expression.
CREATE INDEX "engine_record_client_idx" ON "engine_record"(("payload" ->> 'clientId'));
CREATE INDEX "engine_record_account_idx" ON "engine_record"(("payload" ->> 'accountId'));
