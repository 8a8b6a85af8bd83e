package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/build"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  ftpalg version",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "ftpalg", build.Read(version))
			return err
		},
	}
}
