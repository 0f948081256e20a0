-- CreateTable
CREATE TABLE "decision_input" (
    "id" BIGSERIAL NOT NULL,
    "decision" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "agent" TEXT NOT NULL,
    "person" TEXT NOT NULL,
    "server" TEXT NOT NULL,
    "tool" TEXT NOT NULL,
    "outcome" TEXT NOT NULL,
    "policy" TEXT NOT NULL,
    "sealed" BYTEA NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "decision_input_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "decision_input_at_id_idx" ON "decision_input"("at", "id");

-- CreateIndex
CREATE INDEX "decision_input_person_idx" ON "decision_input"("person");

-- CreateIndex
CREATE INDEX "decision_input_expires_at_idx" ON "decision_input"("expires_at");
