-- CreateTable
CREATE TABLE "agent_key" (
    "client_id" TEXT NOT NULL,
    "thumbprint" TEXT NOT NULL,
    "since" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "retires_at" TIMESTAMPTZ(3),

    CONSTRAINT "agent_key_pkey" PRIMARY KEY ("client_id","thumbprint")
);

-- CreateIndex
CREATE INDEX "agent_key_thumbprint_idx" ON "agent_key"("thumbprint");
