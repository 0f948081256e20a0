-- AlterTable
ALTER TABLE "agent_session" ADD COLUMN     "acr" TEXT,
ADD COLUMN     "ended_reason" TEXT,
ADD COLUMN     "idle_until" TIMESTAMPTZ(3),
ADD COLUMN     "jkt" TEXT,
ADD COLUMN     "parent_id" TEXT,
ADD COLUMN     "paused_at" TIMESTAMPTZ(3),
ADD COLUMN     "paused_by" TEXT,
ADD COLUMN     "paused_reason" TEXT,
ADD COLUMN     "paused_with" TEXT,
ADD COLUMN     "purpose" TEXT,
ADD COLUMN     "resumes_at" TIMESTAMPTZ(3);

-- CreateIndex
CREATE INDEX "agent_session_parent_id_idx" ON "agent_session"("parent_id");

-- CreateIndex
CREATE INDEX "agent_session_status_idle_until_idx" ON "agent_session"("status", "idle_until");

-- CreateIndex
CREATE INDEX "agent_session_status_resumes_at_idx" ON "agent_session"("status", "resumes_at");
