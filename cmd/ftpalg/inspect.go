package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/config"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/inspect"
)

func newInspect() *cobra.Command {
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Tell what the gateway would do with a capture",
		Long: `Run the packets of a capture (pcap or pcapng, "-" for standard input) through the
gateway without a kernel: which data channels would be opened for each control
connection, and which refused and why. Sessions whose start is not in the capture
are taken as logged in.`,
		Example: `  ftpalg inspect session.pcap
  ftpalg inspect --ports 21,2121 session.pcapng
  sudo tcpdump -i any -w - port 21 | ftpalg inspect -`,
		Args: cobra.ExactArgs(1),
	}
	ports := c.Flags().String("ports", "21", "ports of control connections: `"+config.Allowed("ports")+"`")
	c.RunE = func(c *cobra.Command, args []string) error {
		conf, err := config.Sources{Flags: map[string]string{"ports": *ports}}.Load()
		if err != nil {
			return err
		}
		return inspectFile(c.OutOrStdout(), c.InOrStdin(), args[0], conf.Ports)
	}
	return c
}

// inspectFile prints the report, also of a capture that cannot be read to its end.
func inspectFile(w io.Writer, stdin io.Reader, name string, ports []uint16) error {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	p := policy.Default()
	p.TLS = policy.TLSWatch // a return to clear text is of interest
	r, err := inspect.Replay(in, ports, p)
	if printErr := r.Print(w); printErr != nil {
		return printErr
	}
	if err != nil {
		return fmt.Errorf("inspect %s: %w", name, err)
	}
	return nil
}
