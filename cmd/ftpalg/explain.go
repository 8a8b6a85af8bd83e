package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack/probe"
)

// newExplain tells what the words mean that stand in the log, in the metrics, and in the output of check and
// status.
func newExplain() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain [REASON | CHECK]",
		Short: "Say what a reason or a check means, and what to do about it",
		Long: `Say what a reason means that stands in the log, in the metrics or in the output of inspect,
or a check of "ftpalg check" or "ftpalg status", by its id, and what to do about it. Without one, list
all of them.`,
		Example: `  ftpalg explain foreign_address
  ftpalg explain related_accept
  ftpalg explain`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(ids(pages()), cobra.ShellCompDirectiveNoFileComp),
	}
	markdown := c.Flags().Bool("markdown", false, "print all of them as a document")
	c.RunE = func(c *cobra.Command, args []string) error {
		all := pages()
		switch {
		case *markdown:
			return writeMarkdown(c.OutOrStdout(), all)
		case len(args) == 0:
			return listPages(c.OutOrStdout(), all)
		}
		text := ""
		for _, p := range all {
			if p.ID == args[0] {
				text += strings.TrimSpace(p.Meaning+"\n"+p.Remedy) + "\n"
			}
		}
		if text == "" {
			return fmt.Errorf("%q is no reason and no check; there are: %s", args[0],
				strings.Join(ids(all), ", "))
		}
		_, err := io.WriteString(c.OutOrStdout(), text)
		return err
	}
	return c
}

// page is what is said about a word.
type page struct {
	probe.Check
	kind string // reason or check
}

// pages are those of the tables of reasons and of checks.
func pages() (all []page) {
	for r := range policy.NumReasons {
		c := probe.Check{ID: r.String(), Meaning: r.Meaning(), Remedy: r.Remedy()}
		all = append(all, page{c, "reason"})
	}
	for _, c := range slices.Concat(probe.Checks(), ownChecks) {
		all = append(all, page{c, "check"})
	}
	return all
}

func ids(all []page) (ids []string) {
	for _, p := range all {
		ids = append(ids, p.ID)
	}
	return ids
}

// listPages writes a line for each.
func listPages(w io.Writer, all []page) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WORD\tMEANING\tREMEDY")
	for _, p := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\n", p.ID, p.Meaning, p.Remedy)
	}
	return t.Flush()
}

// writeMarkdown writes a document with a heading for each, so that every one has an address.
func writeMarkdown(w io.Writer, all []page) error {
	var b strings.Builder
	b.WriteString(`# Reasons and checks

Made by ` + "`ftpalg explain --markdown`" + ` from the tables in the code. Reasons stand in the log, in the
metrics and in the output of ` + "`ftpalg inspect`" + `; checks in that of
` + "`ftpalg check` and `ftpalg status`" + `.
`)
	for i, p := range all {
		if i == 0 || all[i-1].kind != p.kind {
			b.WriteString("\n## " + strings.ToUpper(p.kind[:1]) + p.kind[1:] + "s\n")
		}
		b.WriteString("\n### " + p.ID + "\n\n" + p.Meaning + "\n")
		if p.Remedy != "" {
			b.WriteString("\nWhat to do: " + p.Remedy + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ownChecks are those that the command line adds to the probe's.
var ownChecks = []probe.Check{
	{
		ID: "sequence_offsets", Name: "sequence offsets",
		Meaning: "The kernel holds the offsets of rewritten streams for connections that it translates. " +
			"Without NAT on this machine and on loopback the program does, and a rewritten session of " +
			"those ends with it.",
	},
	{
		ID: "loop", Name: "packets are handled",
		Meaning: "The loop that reads packets turns.",
		Remedy:  "Restart ftpalg, which costs no session, and report it.",
	},
	{
		ID: "queue", Name: "the netfilter queue is ours, and keeps up",
		Meaning: "The queue is bound, and no packet has passed it by.",
		Remedy:  "Give ftpalg more of the processor, or look for a flood on its ports.",
	},
	{
		ID: "rules", Name: "the nftables table is in force",
		Meaning: "The table of ftpalg is as it was made.",
		Remedy: "Find who changes the table; the log names the program. Restart ftpalg to have it made " +
			"again.",
	},
	{
		ID: "kernel", Name: "the kernel does what it is asked",
		Meaning: "Requests to the kernel succeed.",
		Remedy:  "Look for \"kernel error\" in the log, and run ftpalg check.",
	},
	{
		ID: idStandby, Name: "the other gateway of a pair has sessions",
		Meaning: "This many control connections pass the other gateway of a pair, and their entries are " +
			"replicated into this kernel: this gateway stands by. They count nowhere before their packets " +
			"come here.",
	},
	{
		ID: "data", Name: "data connections come",
		Meaning: "More data connections came than failed to come.",
		Remedy:  "Look for \"data connection\" with a likely cause in the log, or at ftpalg sessions.",
	},
	{
		ID: "transfers", Name: "transfers are logged",
		Meaning: "Every transfer is in the log that log.transfers names, if it names one.",
		Remedy:  "Look for a full or slow disk, or a reader of the standard output that is too slow.",
	},
}
