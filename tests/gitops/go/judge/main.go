// Command judge says of each resource what kpt, Flux and Helm conclude from it, by their own code: kstatus.
//
// It reads one resource as JSON a line and answers with one JSON object a line. It knows nothing of Perdure.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// longest is how long a line may be: a resource in etcd has at most half of it.
const longest = 4 << 20

type answer struct {
	Status  string `json:"status,omitempty"`
	Message string `json:"message,omitempty"`
	Error   string `json:"error,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longest)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		given, err := judge(lines.Bytes())
		if err != nil {
			given = answer{Error: err.Error()}
		}
		if err := answers.Encode(given); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func judge(line []byte) (answer, error) {
	// not json.Unmarshal, which makes a generation a float, that kstatus does not compare
	resource := &unstructured.Unstructured{}
	if err := resource.UnmarshalJSON(line); err != nil {
		return answer{}, err
	}
	computed, err := status.Compute(resource)
	if err != nil {
		return answer{}, err
	}
	return answer{Status: computed.Status.String(), Message: computed.Message}, nil
}
