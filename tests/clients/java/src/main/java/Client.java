import java.util.HashSet;
import software.amazon.awssdk.services.sts.StsClient;

/** Asks AWS who it is until it is somebody else: until the SDK has fetched credentials a second time, by itself. */
final class Client {
    public static void main(String[] arguments) throws InterruptedException {
        var seen = new HashSet<String>();
        var end = System.nanoTime() + 60_000_000_000L;
        try (var sts = StsClient.create()) {
            while (seen.size() < 2 && System.nanoTime() < end) {
                var arn = sts.getCallerIdentity().arn();
                if (seen.add(arn)) {
                    System.out.println(arn);
                }
                Thread.sleep(300);
            }
        }
    }
}
