// Asks AWS who it is until it is somebody else: until the SDK has fetched credentials a second time, by itself.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	client, seen := sts.NewFromConfig(cfg), map[string]bool{}
	for end := time.Now().Add(time.Minute); len(seen) < 2 && time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		who, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			log.Fatal(err)
		}
		if !seen[*who.Arn] {
			fmt.Println(*who.Arn)
		}
		seen[*who.Arn] = true
	}
}
