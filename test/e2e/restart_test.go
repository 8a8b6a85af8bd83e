package e2e

import (
	"bytes"
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
)

func TestKilledGatewayCostsNoSessionAndNoTransferUnderWay(t *testing.T) {
	r := natted(t)
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
	g := startGateway(t, r.Gateway)
	c := login(t, r.Client, r.Server.AddrPort(false, 21))
	get(t, c, s, ftptest.PORT, "small")
	d, err := c.Open(ftptest.PORT)
	must(t, err)
	defer d.Close()
	g.kill()
	for _, cmd := range []string{"NOOP", "TYPE I", "PWD"} {
		if r, err := c.Cmd(cmd); err != nil || r.Code >= 400 {
			t.Errorf("with the gateway gone %s is answered by %s, %v", cmd, r, err)
		}
	}
	must(t, c.Write([]byte("RETR small\r\n")))
	conn, err := d.Conn()
	must(t, err)
	var got bytes.Buffer
	_, err = got.ReadFrom(conn)
	if want, _ := s.File("small"); err != nil || got.String() != string(want) {
		t.Errorf("through the port that the dead one opened came %d bytes, %v", got.Len(), err)
	}
	for range 2 {
		r, err := c.ReadReply()
		if err != nil || r.Code >= 400 {
			t.Errorf("the transfer is answered by %s, %v", r, err)
		}
	}
	g.start()
	get(t, c, s, ftptest.PORT, "big")
	g.stop()
	if r, err := c.Cmd("NOOP"); err != nil || r.Code != 200 {
		t.Errorf("with the gateway stopped NOOP is answered by %s, %v", r, err)
	}
}

func TestReloadLosesNoSession(t *testing.T) {
	r := natted(t)
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
	g := withConfig(t, r.Gateway, "min_port: 2000\n")
	c := login(t, r.Client, r.Server.AddrPort(false, 21))
	for range 3 {
		get(t, c, s, ftptest.PORT, "small")
		g.reload()
	}
	if r, err := c.Cmd("PORT 10,0,13,222,4,10"); err != nil || r.Code < 500 {
		t.Errorf("a port below min_port is answered by %s, %v", r, err)
	}
	get(t, c, s, ftptest.EPRT, "small")
}
