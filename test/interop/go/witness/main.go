// Stands beside litewitness, which keeps its key in an ssh-agent and its logs in a database: "agent <socket>" is an
// ssh-agent with one new key, until its standard input ends; "add <database> <origin> <vkey>" has it know a log.
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

const empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

func main() {
	switch os.Args[1] {
	case "agent":
		serve(os.Args[2])
	case "add":
		add(os.Args[2], os.Args[3], os.Args[4])
	}
}

func serve(socket string) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	keyring := agent.NewKeyring()
	must(keyring.Add(agent.AddedKey{PrivateKey: key}))
	public, err := ssh.NewPublicKey(key.Public())
	must(err)
	listener, err := net.Listen("unix", socket)
	must(err)
	fmt.Println(ssh.FingerprintSHA256(public))
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(keyring, conn)
		}
	}()
	io.Copy(io.Discard, os.Stdin)
}

func add(database, origin, vkey string) {
	db, err := sqlite.OpenConn(database, 0)
	must(err)
	defer db.Close()
	for _, statement := range []struct {
		sql  string
		args []any
	}{
		{"INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", []any{origin, empty}},
		{"INSERT INTO key (origin, key) VALUES (?, ?)", []any{origin, vkey}},
	} {
		must(sqlitex.Execute(db, statement.sql, &sqlitex.ExecOptions{Args: statement.args}))
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
