package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// logged is a transfer in the log of transfers.
type loggedTransfer struct {
	User, Command, Arg, CWD, Client, Server string
	Code                                    int    `json:"reply_code"`
	Text                                    string `json:"reply_msg"`
	Data                                    *struct {
		Mode, Outcome string
		Bytes         *int64 `json:"server_bytes"`
	} `json:"data_channel"`
}

// transfersIn waits until so many lines are in a log of transfers.
func transfersIn(t *testing.T, file string, n int) (all []loggedTransfer, text string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile(file)
		must(t, err)
		if text = string(b); strings.Count(text, "\n") >= n {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d lines are wanted, there are\n%s", n, text)
		}
	}
	for line := range strings.Lines(text) {
		var x loggedTransfer
		must(t, json.Unmarshal([]byte(line), &x))
		all = append(all, x)
	}
	return all, text
}

func TestTransfersAreLoggedWithWhatCameOfThem(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	must(t, r.Gateway.Sysctl("net.netfilter.nf_conntrack_acct", "1"))
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
	file := filepath.Join(t.TempDir(), "transfers")
	g := withConfig(t, r.Gateway, "log: {transfers: "+file+"}\n")
	c, err := ftptest.Dial(t.Context(), r.Client, r.Server.AddrPort(false, lab.ControlPort))
	must(t, err)
	defer c.Close()
	must(t, c.Login("joe\x1b[31m", "secret"))
	_, err = c.Cmd("PWD")
	must(t, err)
	get(t, c, s, ftptest.PORT, "big")
	if _, err := c.Cmd("RETR none\x07"); err != nil {
		t.Fatal(err)
	}
	all, text := transfersIn(t, file, 2)
	big, none := all[0], all[1]
	if big.Arg != "big" {
		big, none = none, big
	}
	if big.User != `joe\x1b[31m` || big.CWD != "/" || big.Code != 226 || big.Client != c.Local().String() ||
		big.Data == nil || big.Data.Mode != "port" || big.Data.Outcome != "used" ||
		big.Data.Bytes == nil || *big.Data.Bytes < 1<<20 {
		t.Errorf("the transfer is %+v, %+v", big, big.Data)
	}
	if none.Arg != `none\a` || none.Code < 400 || none.Data != nil {
		t.Errorf("the one that failed is %+v", none)
	}
	if strings.Contains(text+g.logged(), "secret") || strings.ContainsAny(text, "\x1b\x07") {
		t.Errorf("there is what should not be:\n%q", text)
	}

	must(t, os.Rename(file, file+".1"))
	g.reload()
	get(t, c, s, ftptest.EPSV, "small")
	if all, _ := transfersIn(t, file, 1); all[0].Arg != "small" || all[0].Data.Mode != "epsv" {
		t.Errorf("after the rotation there is %+v", all)
	}
	if old, _ := os.ReadFile(file + ".1"); string(old) != text {
		t.Errorf("the renamed file became\n%s", old)
	}
}

func TestNamesAreNowhereIfTheyAreNotToBeKept(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
	dir := t.TempDir()
	file, socket := filepath.Join(dir, "transfers"), filepath.Join(dir, "s")
	g := withConfig(t, r.Gateway, "log: {transfers: "+file+"}\nprivacy: {users: false, files: false}\n"+
		"strict: {deny: [DELE]}\n", "--socket-path", socket)
	a := &asked{g, r, socket}
	c, err := ftptest.Dial(t.Context(), r.Client, r.Server.AddrPort(false, lab.ControlPort))
	must(t, err)
	defer c.Close()
	must(t, c.Login("whoever", "secret"))
	get(t, c, s, ftptest.PORT, "small")
	if _, err := c.Cmd("DELE small"); err != nil {
		t.Fatal(err)
	}
	_, text := transfersIn(t, file, 1)
	text += g.logged() + a.until("RETR", "sessions", "--json")
	for _, name := range []string{"whoever", "small", "secret"} {
		if strings.Contains(text, name) {
			t.Errorf("%q is in\n%s", name, text)
		}
	}
	if !strings.Contains(text, "DELE ***") {
		t.Errorf("the refused line is not in\n%s", text)
	}
}
