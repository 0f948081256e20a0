// Reads a running log over HTTP with torchwood's client, believes nothing that it does not prove, and prints what it found
// as one line of JSON. Arguments: the address below which the log is, its verifier key, that of a witness, a bearer token
// for the entries, and a checkpoint of before.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type bearer struct{ token string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(r)
}

func main() {
	base, vkey, witness, token, earlier := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	ctx := context.Background()
	logVerifier, err := note.NewVerifier(vkey)
	must(err)
	cosigner, err := torchwood.NewCosignatureVerifier(witness)
	must(err)
	policy := torchwood.ThresholdPolicy(3, torchwood.OriginPolicy(logVerifier.Name()),
		torchwood.SingleVerifierPolicy(logVerifier), torchwood.SingleVerifierPolicy(cosigner))
	head, opened, err := torchwood.VerifyCheckpoint(get(base+"/checkpoint"), policy)
	must(err)
	before, _, err := torchwood.VerifyCheckpoint([]byte(earlier), policy)
	must(err)

	fetcher, err := torchwood.NewTileFetcher(base, torchwood.WithHTTPClient(&http.Client{Transport: bearer{token}}))
	must(err)
	client, err := torchwood.NewClient(fetcher)
	must(err)
	entries := int64(0)
	for index, entry := range client.AllEntries(ctx, head.Tree, 0) {
		if index != entries {
			log.Fatalf("entry %d stands at %d", entries, index)
		}
		entries++
		if index%50 == 0 || index == head.N-1 {
			checkProof(base, head.Tree, index, entry)
		}
	}
	must(client.Err())
	_, _, err = client.Entry(ctx, head.Tree, head.N-1)
	must(err)
	checkConsistency(base, before.Tree, head.Tree)

	at := int64(0)
	for _, signature := range opened.Sigs {
		if signature.Name == cosigner.Name() {
			at, err = torchwood.CosignatureTimestamp(signature)
			must(err)
		}
	}
	if _, _, err := torchwood.VerifyCheckpoint(changed(get(base+"/checkpoint")), policy); err == nil {
		log.Fatal(errors.New("a changed checkpoint was believed"))
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{"entries": entries, "size": head.N, "from": before.N, "witnessed": at > 0})
}

// Our own routes for proofs, judged by the arithmetic of golang.org/x/mod.
func checkProof(base string, tree tlog.Tree, index int64, entry []byte) {
	proof := proofAt(fmt.Sprintf("%s/proof/inclusion?index=%d&size=%d", base, index, tree.N))
	must(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)))
}

func checkConsistency(base string, from, to tlog.Tree) {
	proof := proofAt(fmt.Sprintf("%s/proof/consistency?from=%d&to=%d", base, from.N, to.N))
	must(tlog.CheckTree(tlog.TreeProof(proof), to.N, to.Hash, from.N, from.Hash))
}

func proofAt(url string) tlog.RecordProof {
	var answer struct{ Proof []string }
	must(json.Unmarshal(get(url), &answer))
	proof := tlog.RecordProof{}
	for _, text := range answer.Proof {
		hash, err := base64.RawURLEncoding.DecodeString(text)
		must(err)
		proof = append(proof, tlog.Hash(hash))
	}
	return proof
}

func changed(checkpoint []byte) []byte {
	for i, b := range checkpoint {
		if b == '\n' {
			checkpoint[i+1] ^= 1
			break
		}
	}
	return checkpoint
}

func get(url string) []byte {
	response, err := http.Get(url)
	must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(err)
	if response.StatusCode != http.StatusOK {
		log.Fatalf("%s: %s", url, response.Status)
	}
	return body
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
