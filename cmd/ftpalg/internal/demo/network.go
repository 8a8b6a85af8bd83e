package demo

import (
	"errors"
	"net/netip"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

const picture = `
  behind the gateway                                        outside

  client 10.0.13.222 ---+   +---------------------+   +---- server 203.0.113.66
         fd00:13::222   |   |       gateway       |   |            2001:db8:113::66
                        +---+ masquerade          +---+
  server 10.0.1.66   ---+   | port 21 --> server  |   +---- client 203.0.113.222
         fd00:1::66         | all else is dropped |                2001:db8:113::222
                            +---------------------+
                                          outside address 203.0.113.1
                                                          2001:db8:113::1

  Active mode:  the client behind the gateway tells the server outside where to connect to.
  Passive mode: the server behind the gateway tells the client outside where to connect to.
`

// fileName and fileSize are those of the file that is transferred.
const (
	fileName = "file"
	fileSize = 1 << 20
)

// network is the lab with its servers.
type network struct {
	lab     *lab.Lab
	gateway *lab.Host
	outside *lab.Segment
	active  side
	passive side
}

// side is a client and the server that it talks to.
type side struct {
	client, host *lab.Host
	server       *ftptest.Server
}

func build() (*network, error) {
	l, err := lab.New()
	if err != nil {
		return nil, err
	}
	n := &network{lab: l}
	if err := n.build(); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *network) build() (err error) {
	if n.gateway, err = n.lab.Host("gateway"); err != nil {
		return err
	}
	if n.outside, err = n.gateway.Segment("outside", "203.0.113.1/24", "2001:db8:113::1/64"); err != nil {
		return err
	}
	if n.active.host, err = n.outside.Host("server-out", "203.0.113.66", "2001:db8:113::66"); err != nil {
		return err
	}
	n.passive.client, err = n.outside.Host("client-out", "203.0.113.222", "2001:db8:113::222")
	if err != nil {
		return err
	}
	if n.active.client, err = n.behind("lan", "10.0.13.1/24", "fd00:13::1/64", "client", "10.0.13.222",
		"fd00:13::222"); err != nil {
		return err
	}
	if n.passive.host, err = n.behind("dmz", "10.0.1.1/24", "fd00:1::1/64", "server", "10.0.1.66",
		"fd00:1::66"); err != nil {
		return err
	}
	if err := errors.Join(n.gateway.Forwarding(true), n.gateway.SetRules(n.rules())); err != nil {
		return err
	}
	return errors.Join(n.active.serve(), n.passive.serve())
}

// behind adds a segment behind the gateway with one host.
func (n *network) behind(dev, gateway4, gateway6, name, addr4, addr6 string) (*lab.Host, error) {
	s, err := n.gateway.Segment(dev, gateway4, gateway6)
	if err != nil {
		return nil, err
	}
	h, err := s.Host(name, addr4, addr6)
	if err != nil {
		return nil, err
	}
	return h, s.Route(h)
}

// rules let control connections pass and nothing else.
func (n *network) rules() lab.Ruleset {
	control := &lab.Policy{Accept: []lab.Accept{{Port: lab.ControlPort}}}
	r := lab.Ruleset{Masquerade: []string{n.outside.Dev}, Forward: control, Input: &lab.Policy{}}
	for _, ipv6 := range []bool{false, true} {
		r.DNAT = append(r.DNAT, lab.DNAT{
			Dialled: n.outside.AddrPort(ipv6, lab.ControlPort),
			To:      n.passive.host.AddrPort(ipv6, lab.ControlPort),
		})
	}
	return r
}

// serve starts the server for both families.
func (s *side) serve() error {
	s.server = &ftptest.Server{Network: s.host, Timeout: patience}
	s.server.Put(fileName, ftptest.Random(fileSize, 1))
	return errors.Join(
		s.server.Start(s.host.AddrPort(false, lab.ControlPort)),
		s.server.Start(s.host.AddrPort(true, lab.ControlPort)),
	)
}

// dial returns the client of a trial, the server, and where the client finds
// it.
func (n *network) dial(t trial) (s side, to netip.AddrPort) {
	if t.mode.Active() {
		return n.active, n.active.host.AddrPort(t.ipv6, lab.ControlPort)
	}
	return n.passive, n.outside.AddrPort(t.ipv6, lab.ControlPort)
}

func (n *network) close() error {
	for _, s := range []*ftptest.Server{n.active.server, n.passive.server} {
		if s != nil {
			s.Close()
		}
	}
	return n.lab.Close()
}
