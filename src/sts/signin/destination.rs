use crate::{model::Invalid, outward::Url};

/// Longer than the console itself makes them.
const LONGEST: usize = 2048;

/// An address of the partition's console, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination(String);

impl Destination {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One partition's console.
#[derive(Clone, Debug)]
pub(super) struct Console {
    pub(super) host: String,
    /// The broker's own.
    pub(super) region: String,
}

impl Console {
    /// Where it begins.
    pub(super) fn home(&self) -> Destination {
        Destination(format!("https://{host}/console/home?region={region}", host = self.host, region = self.region))
    }

    /// Refuses whatever a browser could take for another place than this console: the person behind it is signed in by
    /// then.
    pub(super) fn destination(&self, asked: &str) -> Result<Destination, Invalid> {
        let lawful = Self::is_plain(asked)
            && Url::parse(asked).is_ok_and(|url| self.is_ours(asked, &url) && Self::regions_are_regions(&url));
        if lawful {
            Ok(Destination(asked.to_owned()))
        } else {
            let expected = format!("an address on https://{host} or https://<name>.{host}", host = self.host);
            Err(Invalid(expected.into()))
        }
    }

    /// Parsers differ in what they make of anything else.
    fn is_plain(asked: &str) -> bool {
        asked.len() <= LONGEST && asked.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&b))
    }

    /// What stands between `https://` and the path is one of the console's hosts, byte for byte: so there is no user name,
    /// no port, and nothing that a parser has mended.
    fn is_ours(&self, asked: &str, url: &Url) -> bool {
        let Some(rest) = asked.strip_prefix("https://") else { return false };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let under = |name: &str| name.strip_suffix('.').is_some_and(|name| name.split('.').all(label));
        authority.strip_suffix(self.host.as_str()).is_some_and(|name| name.is_empty() || under(name))
            && url.host_str() == Some(authority)
            && !path.starts_with("//")
    }

    /// The console makes a host name of this parameter.
    fn regions_are_regions(url: &Url) -> bool {
        let fragment = url.fragment().map(|fragment| fragment.rsplit('?').next().unwrap_or_default());
        let parameters = [url.query(), fragment].into_iter().flatten();
        let mut pairs = parameters.flat_map(|text| form_urlencoded::parse(text.as_bytes()));
        pairs.all(|(name, value)| {
            let region = value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            !name.eq_ignore_ascii_case("region") || ((1..=32).contains(&value.len()) && region)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::ConsoleSignIn;

    fn taken(region: &str, asked: &str) -> bool {
        let service = ConsoleSignIn::new(None, region, "https://hallpass.example.com").unwrap().unwrap();
        let destination = service.destination(Some(asked));
        assert!(destination.as_ref().is_ok_and(|taken| taken.as_str() == asked) || destination.is_err());
        destination.is_ok()
    }

    #[test]
    fn the_console_opens_in_the_console() {
        for asked in [
            "https://console.aws.amazon.com",
            "https://console.aws.amazon.com/",
            "https://console.aws.amazon.com/s3/buckets?region=eu-west-1&tab=objects",
            "https://eu-west-1.console.aws.amazon.com/ec2/home?region=eu-west-1#Instances:instanceState=running",
            "https://s3.console.aws.amazon.com/s3/home",
            "https://a.b.console.aws.amazon.com/x//y",
            "https://console.aws.amazon.com?region=eu-west-1",
            "https://console.aws.amazon.com/cloudwatch/home#logsV2:log-groups?region=eu-west-1",
            "https://console.aws.amazon.com/x?to=https://elsewhere.example.com/",
        ] {
            assert!(taken("eu-west-1", asked), "{asked}");
        }
    }

    #[test]
    fn no_other_place_is_taken_for_the_console() {
        for asked in [
            "",
            "//evil.example.com",
            "/console/home",
            "console.aws.amazon.com",
            "http://console.aws.amazon.com/",
            "HTTPS://console.aws.amazon.com/",
            "javascript:alert(1)//https://console.aws.amazon.com/",
            "data:text/html,https://console.aws.amazon.com/",
            "https:console.aws.amazon.com/",
            "https:/console.aws.amazon.com/",
            "https:///console.aws.amazon.com/",
            "https://evil.example.com/",
            "https://evil.example.com/console.aws.amazon.com",
            "https://evil.example.com/#.console.aws.amazon.com/",
            "https://evil.example.com?.console.aws.amazon.com/",
            "https://evil.example.com\\.console.aws.amazon.com/",
            "https://console.aws.amazon.com\\@evil.example.com/",
            "https://console.aws.amazon.com@evil.example.com/",
            "https://console.aws.amazon.com:443@evil.example.com/",
            "https://user@console.aws.amazon.com/",
            "https://user:password@console.aws.amazon.com/",
            "https://@console.aws.amazon.com/",
            "https://:@console.aws.amazon.com/",
            "https://console.aws.amazon.com:443/",
            "https://console.aws.amazon.com:8443/",
            "https://console.aws.amazon.com:/",
            "https://console.aws.amazon.com./",
            "https://console.aws.amazon.com.evil.example.com/",
            "https://console.aws.amazon.com.evil/",
            "https://evilconsole.aws.amazon.com/",
            "https://evil-console.aws.amazon.com/",
            "https://.console.aws.amazon.com/",
            "https://a..console.aws.amazon.com/",
            "https://a_b.console.aws.amazon.com/",
            "https://%65vil.example.com/.console.aws.amazon.com/",
            "https://console%2eaws.amazon.com/",
            "https://console.aws.amazon.com%2f@evil.example.com/",
            "https://console.aws.amazon.com%00.evil.example.com/",
            "https://Console.aws.amazon.com/",
            "https://cоnsole.aws.amazon.com/",
            "https://console。aws.amazon.com/",
            "https://xn--cnsole-6ib.aws.amazon.com/",
            "https://aws.amazon.com/",
            "https://signin.aws.amazon.com/federation?Action=logout",
            "https://console.amazonaws.cn/",
            "https://console.aws.amazon.com//evil.example.com/",
            "https://region=x.evil.com/#.console.aws.amazon.com/",
            "https://console.aws.amazon.com/console/home?region=x.evil.com/#",
            "https://console.aws.amazon.com/console/home?a=b&REGION=x.evil.com%2f%23",
            "https://console.aws.amazon.com/console/home?%72egion=x.evil.com",
            "https://console.aws.amazon.com/console/home?region=",
            "https://console.aws.amazon.com/console/home?region=eu-west-1&region=x.evil.com",
            "https://console.aws.amazon.com/ec2/home#Home?region=x.evil.com",
            "https://console.aws.amazon.com/\u{0}",
            "https://console.aws.amazon.com/\r\nset-cookie: x",
            "https://console.aws.amazon.com/\t",
            " https://console.aws.amazon.com/",
            "https://console.aws.amazon.com/ ",
            "https://con\tsole.aws.amazon.com/",
            "https://console.aws.amazon.com/é",
            "https://console.aws.amazon.com/<script>",
            "https://127.0.0.1/",
            "https://[::1]/",
        ] {
            assert!(!taken("eu-west-1", asked), "{asked}");
        }
        assert!(!taken("eu-west-1", &format!("https://console.aws.amazon.com/{}", "x".repeat(2048))));
    }

    #[test]
    fn each_partition_has_its_own_console() {
        for (region, signin_url, federation, home) in [
            (
                "eu-west-1",
                None,
                Some("https://signin.aws.amazon.com/federation"),
                "https://console.aws.amazon.com/console/home?region=eu-west-1",
            ),
            (
                "cn-north-1",
                None,
                Some("https://signin.amazonaws.cn/federation"),
                "https://console.amazonaws.cn/console/home?region=cn-north-1",
            ),
            (
                "us-gov-west-1",
                None,
                Some("https://signin.amazonaws-us-gov.com/federation"),
                "https://console.amazonaws-us-gov.com/console/home?region=us-gov-west-1",
            ),
            (
                "eu-west-1",
                Some("http://127.0.0.1:8082"),
                Some("http://127.0.0.1:8082/federation"),
                "https://console.aws.amazon.com/console/home?region=eu-west-1",
            ),
            (
                "us-iso-east-1",
                Some("https://signin.example.gov"),
                Some("https://signin.example.gov/federation"),
                "https://console.example.gov/console/home?region=us-iso-east-1",
            ),
            ("us-iso-east-1", None, None, ""),
            ("us-iso-east-1", Some("https://login.example.gov"), None, ""),
        ] {
            let service = ConsoleSignIn::new(signin_url, region, "https://hallpass.example.com").unwrap();
            assert_eq!(service.as_ref().map(|service| service.federation.as_str()), federation, "{region}");
            let Some(service) = service else { continue };
            assert_eq!(service.destination(None).unwrap().as_str(), home);
            assert_eq!(service.destination(Some(home)).unwrap().as_str(), home);
        }
        assert!(taken("cn-north-1", "https://cn-north-1.console.amazonaws.cn/ec2/home?region=cn-north-1"));
        assert!(!taken("cn-north-1", "https://console.aws.amazon.com/"));
        assert!(taken("us-gov-west-1", "https://us-gov-west-1.console.amazonaws-us-gov.com/"));
        assert!(!taken("us-gov-west-1", "https://console.amazonaws.cn/"));
    }
}
