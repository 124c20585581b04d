// Says of each directory whether an API server accepts the webhook that serves tls.crt with tls.key and is
// registered with ca.crt: the calls of client-go's TLS client, in Go's own library.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
)

func verify(name, directory string) error {
	pair, err := tls.LoadX509KeyPair(filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key"))
	if err != nil {
		return err
	}
	bundle, err := os.ReadFile(filepath.Join(directory, "ca.crt"))
	if err != nil {
		return err
	}
	options := x509.VerifyOptions{DNSName: name, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
	options.Roots.AppendCertsFromPEM(bundle)
	for _, der := range pair.Certificate[1:] {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		options.Intermediates.AddCert(certificate)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return err
	}
	_, err = leaf.Verify(options)
	return err
}

func main() {
	for _, directory := range os.Args[2:] {
		if err := verify(os.Args[1], directory); err != nil {
			fmt.Printf("refused %s: %v\n", directory, err)
		} else {
			fmt.Printf("accepted %s\n", directory)
		}
	}
}
