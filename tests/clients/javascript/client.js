// Asks AWS who it is until it is somebody else: until the SDK has fetched credentials a second time, by itself.

import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { setTimeout } from "node:timers/promises";

const sts = new STSClient();
const seen = new Set();
const end = Date.now() + 60_000;
while (seen.size < 2 && Date.now() < end) {
  const { Arn } = await sts.send(new GetCallerIdentityCommand());
  if (!seen.has(Arn)) console.log(Arn);
  seen.add(Arn);
  await setTimeout(300);
}
