-- AlterTable
ALTER TABLE "agent_session" ADD COLUMN     "closed_at" TIMESTAMPTZ(3);

-- CreateIndex
CREATE INDEX "agent_session_status_expires_at_idx" ON "agent_session"("status", "expires_at");

-- CreateIndex
CREATE INDEX "agent_session_closed_at_ended_at_idx" ON "agent_session"("closed_at", "ended_at");
