-- CreateIndex
CREATE INDEX "revocation_revoked_at_number_idx" ON "revocation"("revoked_at", "number");
