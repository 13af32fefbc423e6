package datastorecmd

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/pkg/storage/admin"
)

func newSchemaCommand() *cobra.Command {
	kind := "mysql"
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the SQL that makes the tables",
		Long: `Print the SQL that makes the tables, for databases in which programs may not make any.

The first start of a server makes the tables that are not there. If all of them are, it needs
no other privileges than SELECT, INSERT, UPDATE and DELETE on them. Nothing is sent anywhere.`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			schema, err := admin.Schema(kind)
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), schema)
			return err
		},
	}
	cmd.Flags().StringVar(&kind, "kind", kind, "For which kind of database: mysql (also MariaDB, OceanBase, TiDB) or sqlite.")
	return cmd
}
