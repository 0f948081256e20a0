-- CreateIndex
CREATE INDEX "agent_session_agent_id_opened_at_idx" ON "agent_session"("agent_id", "opened_at");

-- DropIndex
DROP INDEX "agent_session_agent_id_idx";
