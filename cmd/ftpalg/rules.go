package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/config"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/probe"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

func newRules() *cobra.Command {
	c := &cobra.Command{
		Use:   "rules",
		Short: "Print the nftables rules that run would install",
		Long: `Print the rules in the syntax of nft, for those who manage rules themselves: set
"rules: external" in the configuration, start ftpalg, which registers its helper,
and load the rules then.`,
		Example: `  sudo ftpalg rules
  sudo ftpalg rules --ports 21,2121 > /etc/nftables.d/ftpalg.nft`,
		Args: cobra.NoArgs,
	}
	sources := addSettings(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		conf, err := sources().Load()
		if err != nil {
			return err
		}
		choice, err := probe.Choose(probe.Needs(probe.Options{Queue: conf.Queue}))
		if err != nil {
			c.PrintErrf("These are the rules for a current kernel, because this one could not be asked: %v\n",
				err)
			choice = probe.Choice{NativeQueue: true, InnerHeader: true, Helper: conntrack.HelperCarrier}
		}
		if conf.Helper != config.HelperAuto {
			choice.Helper = conf.Helper
		}
		_, err = fmt.Fprint(c.OutOrStdout(), ruleset.Text(rulesFor(conf, choice, conf.Ports)))
		return err
	}
	return c
}
