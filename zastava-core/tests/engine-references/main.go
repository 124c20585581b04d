// Reads image references, one a line, and prints what the kubelet and containerd make of each:
// "reference R" for what is pulled, "id" for an image of the node, "refused".
package main

import (
	"bufio"
	_ "crypto/sha256"
	"errors"
	"fmt"
	"os"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/go-digest/digestset"
)

func main() {
	// What the node has. The arguments are image IDs.
	node := digestset.NewSet()
	for _, id := range os.Args[1:] {
		if err := node.Add(digest.Digest(id)); err != nil {
			panic(err)
		}
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		fmt.Fprintln(out, meaning(node, lines.Text()))
	}
}

// meaning follows kubelet's applyDefaultImageTag (pkg/kubelet/images/image_manager.go) and containerd's
// LocalResolve (internal/cri/server/images/service.go). None of the names is in the node's store.
func meaning(node *digestset.Set, image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "refused"
	}
	_, tagged := named.(reference.Tagged)
	_, digested := named.(reference.Digested)
	asked := image
	if !tagged && !digested {
		asked += ":latest"
	}
	if _, err := node.Lookup(asked); err == nil || errors.Is(err, digestset.ErrDigestAmbiguous) {
		return "id"
	}
	pulled, err := reference.ParseDockerRef(asked)
	if err != nil {
		return "refused"
	}
	return "reference " + pulled.String()
}
