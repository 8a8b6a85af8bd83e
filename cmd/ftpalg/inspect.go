package main

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/ftpalg/ftpalg/alg/replay"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/config"
)

// inspectHelp names the fields of inspectLine.
const inspectHelp = `Run the packets of captures through the gateway without a kernel: which data
channels would be opened for each control connection, which refused and why, and what came of them.
A FILE is a capture (pcap, pcapng or snoop, also in gzip or zstd), a directory of them, or "-" for
standard input, of which each line is told as it happens; an interrupt gives the sum of what was read.

Sessions whose start is not in the capture are taken as logged in. Both sides of a NAT in one capture, as
from -i any on a gateway, are one session. Of connections to a range of ports those are told of on which
FTP is spoken.

With --json each line of the output is an object with "version" 1, "kind", "file", and by kind:
  opened   time, frame, client, server, mode, asked, for, open, target, was, is
  settled  the same, and reply, command, transfer (each reply: frame, code, text), shut, and
           data: frame, seconds, from_client, from_server (bytes), fate (not_seen, unanswered, rejected,
           open, closed, reset)
  refused  time, frame, client, server, reason, line
  control  client, server, outside, inside, start, end, first, last (frames), opened, refused, notes
  sum      start, end, frames, controls, channels, refusals, notes
Times are RFC 3339 in UTC. Bytes that are not printable ASCII are escaped as in Go.`

func newInspect() *cobra.Command {
	c := &cobra.Command{
		Use:   "inspect FILE...",
		Short: "Tell what the gateway would do with captures",
		Long:  inspectHelp,
		Example: `  ftpalg inspect session.pcap
  ftpalg inspect --ports 21,2121 --config /etc/ftpalg.yaml captures/
  ftpalg inspect --outside 203.0.113.9 inside.pcapng      # what NAT would have rewritten
  ftpalg inspect --nat 10.0.0.5=203.0.113.9 --json dmz.pcap.zst | jq 'select(.kind == "refused")'
  sudo tcpdump -U -i any -w - port 21 | ftpalg inspect -`,
		Args: cobra.MinimumNArgs(1),
	}
	f := c.Flags()
	ports := f.String("ports", "21",
		"ports of control connections: `ports and ranges`, as in 21,2121 or 1-65535")
	file := f.String("config", "",
		"YAML `file` with the policy of the gateway, and its ports if --ports is not given")
	outside := f.String("outside", "", "`address` that the gateway shows in place of all private ones")
	nat := f.StringArray("nat", nil,
		"`INSIDE=OUTSIDE`: address or network, and the address that the gateway shows for it")
	asJSON := f.Bool("json", false, "write a JSON object on each line")
	c.RunE = func(c *cobra.Command, args []string) error {
		o, err := replayOptions(*file, *ports, f.Changed("ports"), *outside, *nat)
		if err != nil {
			return err
		}
		return inspectAll(c, args, o, *asJSON)
	}
	return c
}

// replayOptions makes the options of a replay from flags. All that is wrong is reported at once.
func replayOptions(file, ports string, portsGiven bool, outside string, nats []string) (replay.Options,
	error) {
	o := replay.Options{Policy: replay.DefaultPolicy()}
	var errs []error
	list, err := replay.ParsePorts(ports)
	if err != nil {
		errs = append(errs, fmt.Errorf("--ports: %w; allowed: ports from 1 to 65535 and ranges of them", err))
	}
	o.Ports = list
	if file != "" {
		conf, err := config.Sources{File: file}.Load()
		errs = append(errs, err)
		o.Policy = replay.Policy{All: conf.Policy, Between: conf.Policies}
		if !portsGiven {
			o.Ports = replay.PortsOf(conf.Ports...)
		}
	}
	for _, text := range nats {
		n, err := replay.ParseNAT(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--nat: %w", err))
		}
		o.NAT = append(o.NAT, n)
	}
	if outside != "" {
		a, err := netip.ParseAddr(outside)
		if err != nil || a.Zone() != "" {
			errs = append(errs, fmt.Errorf("--outside: %q is not an IP address", outside))
		}
		o.NAT = append(o.NAT, replay.Masquerade(a)) // behind those of --nat, which say more
	}
	return o, errors.Join(errs...)
}
