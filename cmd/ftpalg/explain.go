package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ftpalg/ftpalg/alg/policy"
)

// newExplain tells what the reasons mean that stand in the log and in the metrics.
func newExplain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [REASON]",
		Short: "Say what a reason in the log or in the metrics means, and what to do about it",
		Long: `Say what a reason means that stands in the log, in the metrics or in the output of inspect, and
what to do about it. Without a reason, list all of them.`,
		Example: `  ftpalg explain foreign_address
  ftpalg explain`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(reasons(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return explainAll(c.OutOrStdout())
			}
			r, ok := policy.Named(args[0])
			if !ok {
				return fmt.Errorf("%q is no reason; there are: %s", args[0], strings.Join(reasons(), ", "))
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), strings.TrimSpace(r.Meaning()+"\n"+r.Remedy()))
			return err
		},
	}
}

// reasons are the labels of all reasons.
func reasons() (labels []string) {
	for r := range policy.NumReasons {
		labels = append(labels, r.String())
	}
	return labels
}

// explainAll writes a line for each reason.
func explainAll(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "REASON\tMEANING\tREMEDY")
	for r := range policy.NumReasons {
		fmt.Fprintf(t, "%v\t%s\t%s\n", r, r.Meaning(), r.Remedy())
	}
	return t.Flush()
}
