package alg

import (
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
)

func TestClearTextAfterCCCIsReadAgain(t *testing.T) {
	p := policy.Default()
	p.TLS = policy.TLSWatch
	d := newTalk(t, firewallFlow(), p)
	d.segments("s>220 hi\r\n", "c>AUTH TLS\r\n", "s>234 go\r\n",
		"c>\x16\x03\x01\x00\x02aa", "s>\x16\x03\x03\x00\x02bb\x17\x03\x03\x00\x04PORT",
		"c>\x17\x03\x03\x00 \nPORT 10,0,13,222,39,136\r\n\x00\x00\x00\x00\x00\x00")
	d.wantOpen()
	d.segments("s>\x15\x03\x03\x00\x02xx", "c>\x15\x03\x03\x00\x02xx", "c>PASV\r\n",
		"s>227 (10,0,1,66,39,136)\r\n")
	d.wantOpen("10.0.13.222>10.0.1.66:10120=10.0.1.66:10120")
}

func TestDeniedTLSIsRefusedByTheServer(t *testing.T) {
	p := policy.Default()
	p.TLS = policy.TLSDeny
	d := newTalk(t, firewallFlow(), p)
	d.s("220 hi\r\n")
	d.wantArrived("AUTH", d.c("AUTH TLS\r\n"), "AUTH xxx\r\n")
}
