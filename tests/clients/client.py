"""Asks AWS who it is until it is somebody else: until botocore has fetched credentials a second time, by itself."""

import time

import boto3

sts, seen = boto3.client("sts"), []
end = time.monotonic() + 60
while len(seen) < 2 and time.monotonic() < end:
    arn = sts.get_caller_identity()["Arn"]
    if arn not in seen:
        seen.append(arn)
        print(arn, flush=True)
    time.sleep(0.3)
