package datastorecmd

import (
	"github.com/spf13/pflag"

	"github.com/koinon-io/koinon/pkg/storage"
)

// Variable is the environment variable in which the datastore may be given, since command lines
// can be seen by all users.
const Variable = "KOINON_DATASTORE"

// AddFlags adds the flags that say where the datastore is.
func AddFlags(fs *pflag.FlagSet, datastore, passwordFile *string, tls *storage.TLS) {
	fs.StringVar(datastore, "datastore", *datastore, "Where to keep data: sqlite:///PATH[?synchronous=normal], mysql://USER:PASSWORD@HOST:PORT[,HOST:PORT…]/DATABASE, oceanbase://… (the same form) or etcd://HOST:PORT[,…]. The default is sqlite://DATA_DIR/"+storage.DefaultFile+". May also be given in the environment variable "+Variable+", which other users cannot see.")
	addAccessFlags(fs, "datastore", "--datastore", "the database or etcd", passwordFile, tls)
}

// addAccessFlags adds the flags that begin with a prefix and say how to be let into a
// datastore; name is what it is given in, of what it is called.
func addAccessFlags(fs *pflag.FlagSet, prefix, name, of string, passwordFile *string, tls *storage.TLS) {
	fs.StringVar(passwordFile, prefix+"-password-file", "", "A file with the password of the database user, instead of one in "+name+". It is read for every new connection: a password that is changed there and in the database needs no restart. A line break at its end does not count.")
	fs.StringVar(&tls.CAFile, prefix+"-ca-file", "", "The authority that signed the certificate of "+of+".")
	fs.StringVar(&tls.CertFile, prefix+"-cert-file", "", "The client certificate for "+of+".")
	fs.StringVar(&tls.KeyFile, prefix+"-key-file", "", "The key of the client certificate for "+of+".")
}
